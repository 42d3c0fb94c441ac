import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam_train.data.rle import encode_mask
from sam_train.data.sets.coco_json import UnknownCategory
from sam_train.data.sets.coco_set import CocoSet, PanopticSet
from sam_train.data.sets.known_masks import EmptyMask, OrphanMask, UnusableMask

HEIGHT, WIDTH = 20, 30


class Problems(list):
    """Remembers what `on_bad` was told: (set or file, key, kind)."""

    def __call__(self, shard: str, key: str, error: Exception) -> None:
        self.append((Path(shard).name, key, type(error)))


def coco_set(json_file: Path, **options: Any) -> CocoSet:
    """The set of a json beside its images."""
    return CocoSet("coco", json_file.parent / "images", json_file, **options)


@pytest.fixture
def coco_json(tmp_path: Path, save: Callable[[Path], None]) -> Callable[..., Path]:
    """Writes a json of one image, `a.jpg`, and its annotations; the last stands for a crowd."""

    def write(segmentations: list[Any], **image: Any) -> Path:
        save(tmp_path / "images" / "a.jpg")
        entry = {"id": 5, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT} | image
        annotations = [
            {"id": id, "image_id": 5, "segmentation": segmentation, "iscrowd": 0}
            for id, segmentation in enumerate(segmentations)
        ]
        annotations[-1]["iscrowd"] = 1
        file = tmp_path / "instances.json"
        file.write_text(json.dumps({"images": [entry], "annotations": annotations}))
        return file

    return write


CROWD = [[0, 0, 9, 0, 9, 9]]
POLYGON = [4, 2, 8, 2, 8, 6, 4, 6]


def test_coco_segmentations_have_three_forms_and_crowds_are_left_out(
    block, masks_of, coco_json
) -> None:
    mask = block(2, 4)
    plain = {"size": [HEIGHT, WIDTH], "counts": runs_of(mask)}
    compressed = encode_mask(mask)
    json_file = coco_json([[POLYGON], plain, compressed, CROWD])

    masks = masks_of(coco_set(json_file))["a"]
    with_crowds = masks_of(coco_set(json_file, crowds=True))["a"]

    assert [np.array_equal(found, mask) for found in masks] == [True, True, True]
    assert len(with_crowds) == 4


def runs_of(mask: np.ndarray) -> list[int]:
    """Run lengths down the columns, counted one by one."""
    runs, value = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


def test_several_polygons_are_one_mask_and_a_line_is_none(block, masks_of, coco_json) -> None:
    apart = [20, 10, 24, 10, 24, 14, 20, 14]
    json_file = coco_json([[POLYGON, apart], [[1, 1, 5, 5]], [], CROWD])

    bad = Problems()
    masks = masks_of(coco_set(json_file, on_bad=bad))["a"]

    assert len(masks) == 1
    assert np.array_equal(masks[0], block(2, 4) | block(10, 20))
    assert bad == [("a.jpg", "mask 1", EmptyMask), ("a.jpg", "mask 2", EmptyMask)]


def test_lvis_images_are_found_by_their_id(tmp_path: Path, masks_of, coco_json) -> None:
    json_file = coco_json([[POLYGON], CROWD], file_name="COCO_val2014_000000000005.jpg")
    (tmp_path / "images/a.jpg").rename(tmp_path / "images/000000000005.jpg")

    assert list(masks_of(coco_set(json_file))) == ["000000000005"]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [HEIGHT, WIDTH], "counts": [3, 4]}, "do not sum to 20 x 30"),
        ({"size": [HEIGHT, WIDTH], "counts": [-5, 605]}, "do not sum to 20 x 30"),
        ({"size": [HEIGHT, WIDTH], "counts": "~~"}, "is broken"),
        ({"size": [9, 9], "counts": [80, 1]}, "is 9 x 9 pixels, its image 30 x 20"),
        ([[0, 0, 1e9, 0, 5, 5]], "far outside its image"),
        ([[0, 0, float("nan"), 0, 5, 5]], "far outside its image"),
        ({"counts": [1]}, "cannot be read"),
        (None, "cannot be read"),
        ([[[0, 0], [9, 0], [9, 9], [0, 9], [0, 5], [0, 3]]], "cannot be read"),
        ([["a", "b", "c", "d", "e", "f"]], "cannot be read"),
    ],
)
def test_a_broken_segmentation_costs_one_mask_and_is_named(
    segmentation: Any, message: str, coco_json
) -> None:
    errors: list[Exception] = []
    json_file = coco_json([[POLYGON], segmentation, [POLYGON], CROWD])
    (image,) = coco_set(json_file, on_bad=lambda _, key, error: errors.append(error))

    assert len(image.masks()) == 2
    (error,) = errors
    assert isinstance(error, UnusableMask)
    assert re.search(f"mask 1 of .*a.jpg.*{message}", str(error))


def test_an_image_that_was_resized_after_annotation_is_named(coco_json) -> None:
    (image,) = coco_set(coco_json([[POLYGON], CROWD], width=60, height=40))

    with pytest.raises(ValueError, match="60 x 40 pixels, its image 30 x 20"):
        image.masks()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"images": []}',
        '{"images": [{}], "annotations": []}',
        '{"images": [7], "annotations": []}',
        '{"images": {"id": 1}, "annotations": []}',
        '{"images": [{"id": [1]}], "annotations": []}',
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_a_file_that_is_no_coco_json_is_named(tmp_path: Path, text: str, save) -> None:
    save(tmp_path / "images/a.jpg")
    (tmp_path / "instances.json").write_text(text)

    with pytest.raises(ValueError, match=r"coco: .*instances\.json is no"):
        CocoSet("coco", tmp_path / "images", tmp_path / "instances.json")


def test_a_json_of_other_images_names_the_key_to_set(coco_json) -> None:
    json_file = coco_json([CROWD], file_name="elsewhere.jpg")

    with pytest.raises(FileNotFoundError, match="holds no image of the json; set `images`"):
        coco_set(json_file)


def test_a_file_name_that_is_a_number_is_no_other_error(coco_json) -> None:
    with pytest.raises(FileNotFoundError, match="holds no image of the json"):
        coco_set(coco_json([CROWD], file_name=5))


def edited(json_file: Path, **changes: Any) -> Path:
    """The json with some of its entries replaced."""
    json_file.write_text(json.dumps(json.loads(json_file.read_text()) | changes))
    return json_file


def test_an_annotation_of_an_unknown_image_is_an_orphan(masks_of, coco_json) -> None:
    lost = {"id": 9, "image_id": 77, "segmentation": [POLYGON]}
    json_file = edited(coco_json([CROWD]), annotations=[lost])
    bad = Problems()

    assert masks_of(coco_set(json_file, on_bad=bad)) == {"a": []}
    assert bad == [("coco", "annotation 9", OrphanMask)]


def test_a_second_entry_of_a_file_is_an_orphan_and_a_second_id_an_error(coco_json) -> None:
    entry = {"id": 5, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}
    json_file = edited(coco_json([CROWD]), images=[entry, entry | {"id": 6}])
    bad = Problems()

    assert len(coco_set(json_file, on_bad=bad)) == 1
    assert bad == [("coco", "image 6", OrphanMask)]
    with pytest.raises(ValueError, match="gives two images the same `id`"):
        coco_set(edited(json_file, images=[entry, entry]))


def test_only_masks_of_a_category_that_the_json_does_not_list_are_left_out(
    block, masks_of, coco_json
) -> None:
    annotations = [
        {"id": id, "image_id": 5, "segmentation": [POLYGON], "category_id": id} for id in (2, 3)
    ]
    json_file = edited(coco_json([CROWD]), annotations=annotations, categories=[{"id": 2}])
    bad = Problems()

    (masks,) = masks_of(coco_set(json_file, on_bad=bad)).values()

    assert np.array_equal(masks, [block(2, 4)])
    assert bad == [("a.jpg", "mask 3", UnknownCategory)]


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg"])
def test_a_file_name_that_leads_out_of_the_folder_is_refused(name: str, coco_json) -> None:
    json_file = coco_json([CROWD], file_name=name)

    with pytest.raises(ValueError, match="which is not below"):
        coco_set(json_file)


def test_panoptic_segments_are_masks(tmp_path: Path, save, block, masks_of) -> None:
    save(tmp_path / "images/a.jpg")
    segment_id = 7 + 256 * 8 + 65536 * 9
    ids = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    ids[block(2, 4)] = (7, 8, 9)
    (tmp_path / "panoptic").mkdir()
    Image.fromarray(ids).save(tmp_path / "panoptic/a.png")
    segments = [{"id": segment_id, "iscrowd": 0}, {"id": 0, "iscrowd": 1}]
    entry = {"image_id": 5, "file_name": "a.png", "segments_info": segments}
    coco = {"images": [{"id": 5, "file_name": "a.jpg"}], "annotations": [entry]}
    (tmp_path / "panoptic.json").write_text(json.dumps(coco))

    image_set = PanopticSet(
        "stuff", tmp_path / "images", tmp_path / "panoptic", tmp_path / "panoptic.json"
    )

    assert np.array_equal(masks_of(image_set)["a"], [block(2, 4)])
