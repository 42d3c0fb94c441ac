import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from sam_train.data.image_sets import (
    BsdsSet,
    CocoSet,
    ImageFolder,
    ImageSet,
    PanopticSet,
    SceneSet,
    ShardSet,
)
from sam_train.data.manifest import Dataset
from sam_train.data.records import Sample, annotation_from_rle
from sam_train.data.rle import decode_rle, encode_mask
from sam_train.data.shard_set import tar_slices
from sam_train.data.shards import write_annotations, write_shard

HEIGHT, WIDTH = 20, 30


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


# Folders and keys


def test_keys_are_unique_and_safe_as_file_names(tmp_path: Path) -> None:
    names = [
        "a/b.jpg",
        "a-b.jpg",
        "a-b.png",
        "my photo (1).v2.jpg",
        "été.jpg",
        "日本.jpg",
        "x" * 150,
    ]
    for name in names:
        save(tmp_path / (name if "." in name else f"{name}.jpg"))
    save(tmp_path / ".thumbnails/a.jpg")
    (tmp_path / "notes.txt").write_text("no image")

    images = list(ImageFolder("photos", tmp_path))

    keys = [image.key for image in images]
    assert len(set(keys)) == len(keys) == len(names)
    assert all(key.replace("-", "").replace("_", "").isalnum() and key.isascii() for key in keys)
    assert max(map(len, keys)) <= 100
    assert {"a-b", "my-photo-1-v2"} <= set(keys)


def test_an_image_of_a_folder_is_read_when_asked_for(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (image,) = ImageFolder("photos", str(tmp_path))

    assert image.load().shape == (HEIGHT, WIDTH, 3)
    assert image.masks() == []
    assert image.encoded is not None
    assert image.encoded() == (tmp_path / "a.png").read_bytes()


def test_a_missing_and_an_empty_folder_name_the_key_to_set(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="photos: there is no folder .* set `path`"):
        ImageFolder("photos", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="photos: .* holds no image; set `path`"):
        ImageFolder("photos", tmp_path)


def test_skipped_keys_are_left_out_and_must_exist(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "b.png")

    assert [image.key for image in ImageFolder("photos", tmp_path, skip=["a"])] == ["b"]
    with pytest.raises(ValueError, match="`skip` names 'c'"):
        ImageFolder("photos", tmp_path, skip=["c"])


# COCO


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

    assert [np.array_equal(found, mask) for found in masks] == [True, True, True]


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

    masks = masks_of(CocoSet("coco", tmp_path / "images", json_file))["a"]

    assert len(masks) == 1
    assert np.array_equal(masks[0], block(2, 4) | block(10, 20))


def test_lvis_images_are_found_by_their_id(tmp_path: Path) -> None:
    json_file = coco_json(tmp_path, [[POLYGON], CROWD], file_name="COCO_val2014_000000000005.jpg")
    (tmp_path / "images/a.jpg").rename(tmp_path / "images/000000000005.jpg")

    assert list(masks_of(CocoSet("lvis", tmp_path / "images", json_file))) == ["000000000005"]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [HEIGHT, WIDTH], "counts": [3, 4]}, "do not sum to 20 x 30"),
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
    "text", ["", "{", "[]", '{"images": []}', '{"images": [{}], "annotations": []}']
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


# BSDS, shards, scenes


def segmentation(regions: np.ndarray) -> np.ndarray:
    """One annotator's cell of a BSDS500 file."""
    cell = np.empty((1, 1), dtype=[("Segmentation", object)])
    cell[0, 0]["Segmentation"] = regions.astype(np.uint16)
    return cell


def test_bsds_takes_every_region_of_the_finest_annotator(tmp_path: Path) -> None:
    save(tmp_path / "images/a.jpg")
    save(tmp_path / "images/without_truth.jpg")
    columns = np.tile(np.arange(WIDTH), (HEIGHT, 1))
    annotators = np.empty((1, 2), dtype=object)
    annotators[0, 0] = segmentation(columns // 15 + 1)
    annotators[0, 1] = segmentation(columns // 10 + 1)
    savemat(tmp_path / "a.mat", {"groundTruth": annotators})

    masks = masks_of(BsdsSet("bsds", tmp_path / "images", tmp_path))

    assert list(masks) == ["a"]
    assert [mask.sum() for mask in masks["a"]] == [HEIGHT * 10] * 3


def test_a_broken_bsds_file_is_named(tmp_path: Path) -> None:
    save(tmp_path / "images/a.jpg")
    (tmp_path / "a.mat").write_bytes(b"no matrix")
    (image,) = BsdsSet("bsds", tmp_path / "images", tmp_path)

    with pytest.raises(ValueError, match=r"a\.mat is no BSDS500 ground truth"):
        image.masks()


def test_a_dataset_version_is_a_set_with_its_current_masks(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    image_bytes = (tmp_path / "a.jpg").read_bytes()
    info = {"image_id": 1, "width": WIDTH, "height": HEIGHT, "file_name": "a.jpg"}
    first = annotation_from_rle(encode_mask(block(0, 0)), id=1)
    second = annotation_from_rle(encode_mask(block(9, 9)), id=2)
    shard, layer = tmp_path / "images/s-000000.tar", tmp_path / "annotations/01/s-000000.tar"
    write_shard(shard, [Sample("a", image_bytes, {"image": info, "annotations": [first]})])
    write_annotations(layer, [("a", {"image": info, "annotations": [first, second]})])
    dataset = Dataset(tmp_path)
    for annotations in (None, layer):
        entry = dataset.entry(shard, annotations, source="test", phase="known")
        dataset.commit([entry], parent=None, phase="known", round=0)

    masks = [masks_of(ShardSet("d", tmp_path, version=version))["a"] for version in (1, 2)]

    assert np.array_equal(masks[0], [block(0, 0)])
    assert np.array_equal(masks[1], [block(0, 0), block(9, 9)])
    (image,) = ShardSet("d", tmp_path)
    assert image.encoded is not None and image.encoded() == image_bytes
    assert image.load().shape == (HEIGHT, WIDTH, 3)


def test_a_truncated_shard_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.tar").write_bytes(b"\0" * 100)

    with pytest.raises(ValueError, match=r"cut\.tar is no whole tar"):
        tar_slices(tmp_path / "cut.tar")


def test_scenes_are_the_same_every_time() -> None:
    first, again = (list(SceneSet("scenes", 2, seed=3, image_size=64)) for _ in range(2))

    assert [image.key for image in first] == ["000003", "000004"]
    assert np.array_equal(first[1].load(), again[1].load())
    assert first[1].masks() == again[1].masks()
    assert first[1].masks()[0]["size"] == [64, 64]
