import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_train.data.records import Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import write_shard
from sam_train.evaluation.measures.floors import floor_ious, training_radius


def test_a_rectangle_is_its_own_box():
    mask = np.zeros((20, 30), bool)
    mask[4:10, 5:25] = True

    assert floor_ious(mask, (15.0, 7.0), disc_radius=0.1)["box"] == 1


def test_the_filled_box_of_a_triangle():
    mask = np.tri(10, dtype=bool)  # 55 of 100 pixels

    assert floor_ious(mask, (3.0, 6.0), disc_radius=0.1)["box"] == pytest.approx(0.55)


def test_an_ellipse_fits_itself():
    y, x = np.mgrid[:40, :60]
    mask = ((x - 30.5) / 20) ** 2 + ((y - 19.5) / 10) ** 2 <= 1

    assert floor_ious(mask, (30.0, 19.0), disc_radius=0.1)["ellipse"] == pytest.approx(1, abs=0.02)


def test_the_disc_is_counted_by_pixel_centres():
    mask = np.zeros((10, 10), bool)
    mask[5, 5] = True

    # Radius 1 around a pixel: the pixel and its four neighbours.
    assert floor_ious(mask, (5.0, 5.0), disc_radius=0.1)["disc"] == pytest.approx(1 / 5)


def test_the_disc_ends_at_the_border():
    mask = np.zeros((10, 10), bool)
    mask[0, 0] = True

    assert floor_ious(mask, (0.0, 0.0), disc_radius=0.1)["disc"] == pytest.approx(1 / 3)


def test_one_pixel_is_its_own_box_and_ellipse():
    mask = np.zeros((10, 10), bool)
    mask[9, 9] = True

    floors = floor_ious(mask, (9.0, 9.0), disc_radius=0.01)
    assert floors == {"disc": 1, "box": 1, "ellipse": 1}


def test_the_radius_is_the_mean_over_the_masks_of_a_dataset(tmp_path: Path):
    masks = [np.zeros((50, 100), bool) for _ in range(2)]
    masks[0][:1, :1] = True
    masks[1][:20, :20] = True
    annotations = [annotation_from_rle(encode_mask(mask), id=i) for i, mask in enumerate(masks)]
    image = {"image_id": 0, "width": 100, "height": 50, "file_name": "a.jpg"}
    jpeg = io.BytesIO()
    Image.new("RGB", (100, 50)).save(jpeg, "JPEG")
    tar = tmp_path / "images" / "toy-000000.tar"
    write_shard(tar, [Sample("a", jpeg.getvalue(), {"image": image, "annotations": annotations})])
    dataset = Dataset(tmp_path)
    entry = dataset.entry(tar, source="toy", phase="known")
    dataset.commit([entry], parent=None, phase="known", round=0)

    expected = (1 + 20) / math.sqrt(math.pi) / 100 / 2
    assert training_radius(tmp_path) == pytest.approx(expected)
