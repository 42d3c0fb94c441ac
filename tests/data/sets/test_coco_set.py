import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam_train.data.rle import decode_rle, encode_mask
from sam_train.data.sets.coco_json import UnknownCategory
from sam_train.data.sets.image_sets import CocoSet, ImageSet, PanopticSet
from sam_train.data.sets.labeled_image import EmptyMask, OrphanMask

HEIGHT, WIDTH = 20, 30


class Problems(list):
    """Remembers what `on_bad` was told: (set or file, key, kind)."""

    def __call__(self, shard: str, key: str, error: Exception) -> None:
        self.append((Path(shard).name, key, type(error)))


def save(file: Path) -> None:
    """Writes an empty picture."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(file)


def block(top: int, left: int) -> np.ndarray:
    """A mask of 4 x 4 pixels."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top : top + 4, left : left + 4] = True
    return mask


def masks_of(image_set: ImageSet) -> dict[str, list[np.ndarray]]:
    return {image.key: [decode_rle(rle) for rle in image.masks()] for image in image_set}


def coco_json(tmp_path: Path, segmentations: list[Any], **image: Any) -> Path:
    """A json of one image, `a.jpg`, and its annotations; the last stands for a crowd."""
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


CROWD = [[0, 0, 9, 0, 9, 9]]
POLYGON = [4, 2, 8, 2, 8, 6, 4, 6]


def test_coco_segmentations_have_three_forms_and_crowds_are_left_out(tmp_path: Path) -> None:
    mask = block(2, 4)
    plain = {"size": [HEIGHT, WIDTH], "counts": runs_of(mask)}
    compressed = encode_mask(mask)
    json_file = coco_json(tmp_path, [[POLYGON], plain, compressed, CROWD])

    masks = masks_of(CocoSet("coco", tmp_path / "images", json_file))["a"]
    with_crowds = masks_of(CocoSet("coco", tmp_path / "images", json_file, crowds=True))["a"]

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


def test_several_polygons_are_one_mask_and_a_line_is_none(tmp_path: Path) -> None:
    apart = [20, 10, 24, 10, 24, 14, 20, 14]
    json_file = coco_json(tmp_path, [[POLYGON, apart], [[1, 1, 5, 5]], [], CROWD])

    bad = Problems()
    masks = masks_of(CocoSet("coco", tmp_path / "images", json_file, on_bad=bad))["a"]

    assert len(masks) == 1
    assert np.array_equal(masks[0], block(2, 4) | block(10, 20))
    assert bad == [("a.jpg", "mask 1", EmptyMask), ("a.jpg", "mask 2", EmptyMask)]


def test_lvis_images_are_found_by_their_id(tmp_path: Path) -> None:
    json_file = coco_json(tmp_path, [[POLYGON], CROWD], file_name="COCO_val2014_000000000005.jpg")
    (tmp_path / "images/a.jpg").rename(tmp_path / "images/000000000005.jpg")

    assert list(masks_of(CocoSet("lvis", tmp_path / "images", json_file))) == ["000000000005"]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [HEIGHT, WIDTH], "counts": [3, 4]}, "do not sum to 20 x 30"),
        ({"size": [HEIGHT, WIDTH], "counts": [-5, 605]}, "do not sum to 20 x 30"),
        ({"size": [HEIGHT, WIDTH], "counts": "~~"}, "mask 0 of .* is broken"),
        ({"size": [9, 9], "counts": [80, 1]}, "is 9 x 9 pixels, its image 30 x 20"),
        ([[0, 0, 1e9, 0, 5, 5]], "far outside its image"),
        ([[0, 0, float("nan"), 0, 5, 5]], "far outside its image"),
        ({"counts": [1]}, "cannot be read"),
    ],
)
def test_a_broken_segmentation_names_its_image(
    tmp_path: Path, segmentation: Any, message: str
) -> None:
    json_file = coco_json(tmp_path, [segmentation, CROWD])
    (image,) = CocoSet("coco", tmp_path / "images", json_file)

    with pytest.raises(ValueError, match=message) as error:
        image.masks()
    assert "a.jpg" in str(error.value)


def test_an_image_that_was_resized_after_annotation_is_named(tmp_path: Path) -> None:
    (image,) = CocoSet(
        "coco", tmp_path / "images", coco_json(tmp_path, [[POLYGON], CROWD], width=60, height=40)
    )

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
    ],
)
def test_a_file_that_is_no_coco_json_is_named(tmp_path: Path, text: str) -> None:
    save(tmp_path / "images/a.jpg")
    (tmp_path / "instances.json").write_text(text)

    with pytest.raises(ValueError, match=r"coco: .*instances\.json is no"):
        CocoSet("coco", tmp_path / "images", tmp_path / "instances.json")


def test_a_json_of_other_images_names_the_key_to_set(tmp_path: Path) -> None:
    json_file = coco_json(tmp_path, [CROWD], file_name="elsewhere.jpg")

    with pytest.raises(FileNotFoundError, match="holds no image of the json; set `images`"):
        CocoSet("coco", tmp_path / "images", json_file)


def edited(json_file: Path, **changes: Any) -> Path:
    """The json with some of its entries replaced."""
    json_file.write_text(json.dumps(json.loads(json_file.read_text()) | changes))
    return json_file


def test_an_annotation_of_an_unknown_image_is_an_orphan(tmp_path: Path) -> None:
    lost = {"id": 9, "image_id": 77, "segmentation": [POLYGON]}
    json_file = edited(coco_json(tmp_path, [CROWD]), annotations=[lost])
    bad = Problems()

    assert masks_of(CocoSet("coco", tmp_path / "images", json_file, on_bad=bad)) == {"a": []}
    assert bad == [("coco", "annotation 9", OrphanMask)]


def test_a_second_entry_of_a_file_is_an_orphan_and_a_second_id_an_error(tmp_path: Path) -> None:
    entry = {"id": 5, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}
    json_file = edited(coco_json(tmp_path, [CROWD]), images=[entry, entry | {"id": 6}])
    bad = Problems()

    assert len(CocoSet("coco", tmp_path / "images", json_file, on_bad=bad)) == 1
    assert bad == [("coco", "image 6", OrphanMask)]
    with pytest.raises(ValueError, match="gives two images the same `id`"):
        CocoSet("coco", tmp_path / "images", edited(json_file, images=[entry, entry]))


def test_only_masks_of_a_category_that_the_json_does_not_list_are_left_out(tmp_path: Path) -> None:
    annotations = [
        {"id": id, "image_id": 5, "segmentation": [POLYGON], "category_id": id} for id in (2, 3)
    ]
    json_file = edited(
        coco_json(tmp_path, [CROWD]), annotations=annotations, categories=[{"id": 2}]
    )
    bad = Problems()

    (masks,) = masks_of(CocoSet("coco", tmp_path / "images", json_file, on_bad=bad)).values()

    assert np.array_equal(masks, [block(2, 4)])
    assert bad == [("a.jpg", "mask 3", UnknownCategory)]


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg"])
def test_a_file_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    json_file = coco_json(tmp_path, [CROWD], file_name=name)

    with pytest.raises(ValueError, match="which is not below"):
        CocoSet("coco", tmp_path / "images", json_file)


def test_panoptic_segments_are_masks(tmp_path: Path) -> None:
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
