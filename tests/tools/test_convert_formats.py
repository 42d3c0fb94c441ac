"""Each format to a dataset and, where there is a way, back: which masks stay the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from sam_train.data.images import encode_jpeg
from sam_train.data.records import Sample, annotation_from_rle
from sam_train.data.rle import decode_rle, encode_mask
from sam_train.data.sets.annotation_tools.cvat_xml import CvatXml
from sam_train.data.sets.annotation_tools.label_studio_rle import unpack_brush
from sam_train.data.sets.shard_set import ShardSet
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import write_shard
from tools.convert import main

HEIGHT, WIDTH = 40, 60


def block(top: Any, left: Any, side: int = 8) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def blobs(count: int, seed: int = 0) -> list[np.ndarray]:
    """Ragged masks with holes that overlap each other."""
    rng = np.random.default_rng(seed)
    return [
        block(rng.integers(0, 20), rng.integers(0, 40), 20) & (rng.random((HEIGHT, WIDTH)) > 0.3)
        for _ in range(count)
    ]


def write_dataset(root: Path, images: dict[str, list[np.ndarray]]) -> None:
    """A dataset of one shard."""
    jpeg = encode_jpeg(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    write_shard(
        root / "images/s-000000.tar",
        (
            Sample(
                key,
                jpeg,
                {
                    "image": {
                        "image_id": 7,
                        "width": WIDTH,
                        "height": HEIGHT,
                        "file_name": f"{key}.jpg",
                    },
                    "annotations": [
                        annotation_from_rle(encode_mask(mask), id=id)
                        for id, mask in enumerate(masks)
                    ],
                },
            )
            for key, masks in images.items()
        ),
    )
    dataset = Dataset(root)
    entry = dataset.entry(root / "images/s-000000.tar", source="drawn", phase="known")
    dataset.commit([entry], parent=None, phase="known", round=0)


def masks(dataset: Path) -> dict[str, list[np.ndarray]]:
    images = ShardSet("read", dataset)
    return {image.key: [decode_rle(rle) for rle in image.masks()] for image in images}


IMAGES = {"a": blobs(4), "b": [], "c": blobs(2, seed=1)}


@pytest.mark.parametrize("format", ["coco", "lvis"])
@pytest.mark.parametrize("form", [[], ["--polygons"]])
def test_masks_go_to_coco_and_back_bit_by_bit(tmp_path: Path, format: str, form: list[str]) -> None:
    write_dataset(tmp_path / "ds", IMAGES)
    json_file, folder = f"{tmp_path}/out.json", f"{tmp_path}/photos"

    main([f"export-{format}", f"{tmp_path}/ds", "--out", json_file, "--images", folder, *form])
    back = ["--annotations", json_file, "--images", folder, "--out", f"{tmp_path}/back"]
    main([format, *back, "--workers", "1"])

    found = masks(tmp_path / "back")
    assert list(found) == [f"{format}-{key}" for key in IMAGES]
    for key, expected in IMAGES.items():
        assert np.array_equal(found[f"{format}-{key}"], expected)


def test_the_json_is_what_pycocotools_reads(tmp_path: Path) -> None:
    write_dataset(tmp_path / "ds", IMAGES)

    main(["export-coco", f"{tmp_path}/ds", "--out", f"{tmp_path}/out.json"])
    coco = json.loads((tmp_path / "out.json").read_text())

    assert [image["file_name"] for image in coco["images"]] == ["a.jpg", "b.jpg", "c.jpg"]
    assert [annotation["image_id"] for annotation in coco["annotations"]] == [1, 1, 1, 1, 3, 3]
    assert [annotation["id"] for annotation in coco["annotations"]] == [1, 2, 3, 4, 5, 6]
    first = coco["annotations"][0]
    assert coco_mask.area(first["segmentation"]) == IMAGES["a"][0].sum()
    assert (first["category_id"], first["iscrowd"], first["area"]) == (1, 0, IMAGES["a"][0].sum())
    assert coco["categories"][0]["id"] == 1


def test_an_lvis_json_says_that_no_image_was_searched_for_all_objects(tmp_path: Path) -> None:
    write_dataset(tmp_path / "ds", IMAGES)

    main(["export-lvis", f"{tmp_path}/ds", "--out", f"{tmp_path}/out.json"])
    lvis = json.loads((tmp_path / "out.json").read_text())

    assert lvis["images"][0]["not_exhaustive_category_ids"] == [1]
    assert lvis["categories"][0] | {"image_count": 3, "instance_count": 6} == lvis["categories"][0]
    assert "iscrowd" not in lvis["annotations"][0]


@pytest.mark.parametrize("format", ["label-studio", "cvat"])
def test_masks_go_to_annotation_tools_and_back_bit_by_bit(tmp_path: Path, format: str) -> None:
    write_dataset(tmp_path / "ds", IMAGES)
    file, folder = f"{tmp_path}/out", f"{tmp_path}/photos"

    main([f"export-{format}", f"{tmp_path}/ds", "--out", file, "--images", folder])
    back = ["--annotations", file, "--images", folder, "--out", f"{tmp_path}/back"]
    main([format, *back, "--workers", "1"])

    found = masks(tmp_path / "back")
    assert list(found) == [f"{format}-{key}" for key in IMAGES]
    for key, expected in IMAGES.items():
        assert np.array_equal(found[f"{format}-{key}"], expected)


def test_label_studios_own_program_reads_and_writes_the_same_masks(tmp_path: Path) -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    write_dataset(tmp_path / "ds", IMAGES)

    main(["export-label-studio", f"{tmp_path}/ds", "--out", f"{tmp_path}/out.json"])
    tasks = json.loads((tmp_path / "out.json").read_text())

    for task, expected in zip(tasks, IMAGES.values(), strict=True):
        streams = [region["value"]["rle"] for region in task["annotations"][0]["result"]]
        for stream, mask in zip(streams, expected, strict=True):
            theirs = brush.decode_rle(stream).reshape(HEIGHT, WIDTH, 4)[..., 3] > 0
            assert np.array_equal(theirs, mask)
            again = brush.mask2rle(mask.astype(np.uint8) * 255)
            assert np.array_equal(unpack_brush(again, (HEIGHT, WIDTH)), mask)


def test_cvats_own_program_reads_and_writes_the_same_masks(tmp_path: Path) -> None:
    cvat_masks = pytest.importorskip("cvat_sdk.masks")
    write_dataset(tmp_path / "ds", IMAGES)

    main(["export-cvat", f"{tmp_path}/ds", "--out", f"{tmp_path}/out.xml"])
    images = CvatXml(tmp_path / "out.xml").images

    for image, expected in zip(images, IMAGES.values(), strict=True):
        for shape, mask in zip(image.shapes, expected, strict=True):
            left, top, width, height = (int(shape[k]) for k in ("left", "top", "width", "height"))
            runs = [float(run) for run in shape["rle"].split(",")]
            points = [*runs, left, top, left + width - 1, top + height - 1]
            theirs = cvat_masks.decode_mask(points, image_width=WIDTH, image_height=HEIGHT)
            assert np.array_equal(theirs, mask)
            assert cvat_masks.encode_mask(mask) == points


@pytest.mark.parametrize(("count", "mode"), [(3, "L"), (254, "L"), (255, "I;16")])
def test_masks_that_do_not_overlap_go_to_label_images_and_back(
    tmp_path: Path, count: int, mode: str
) -> None:
    cells = [(row, column) for row in range(HEIGHT) for column in range(0, WIDTH, 2)][:count]
    images = {"a": [block(*cell, 1) for cell in cells]}
    write_dataset(tmp_path / "ds", images)

    main(["export-labels", f"{tmp_path}/ds", "--out", f"{tmp_path}/labels"])
    folders = ["--images", f"{tmp_path}/labels/images", "--masks", f"{tmp_path}/labels/labels"]
    out = ["--out", f"{tmp_path}/back", "--workers", "1"]
    main(["masks", *folders, "--layout", "label_image", *out])

    with Image.open(tmp_path / "labels/labels/a.png") as file:
        assert file.mode == mode
    assert np.array_equal(masks(tmp_path / "back")["masks-a"], images["a"])


def test_the_smaller_mask_lies_on_top_of_a_label_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, large = block(5, 5, 4), block(0, 0, 20)
    write_dataset(tmp_path / "ds", {"a": [small, large]})

    main(["export-labels", f"{tmp_path}/ds", "--out", f"{tmp_path}/labels"])

    with Image.open(tmp_path / "labels/labels/a.png") as file:
        assert np.array_equal(np.array(file), np.where(small, 1, np.where(large, 2, 0)))
    assert "2 masks, 1 partly or wholly covered" in capsys.readouterr().out


def test_a_missing_dataset_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="convert: .*nowhere is no dataset"):
        main(["export-coco", f"{tmp_path}/nowhere", "--out", f"{tmp_path}/out.json"])
    assert not (tmp_path / "out.json").exists()


# Formats that have no way back


def save(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def test_panoptic_segments_become_masks(tmp_path: Path) -> None:
    save(tmp_path / "images/a.jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    save(tmp_path / "panoptic/a.png", block(2, 4)[..., None] * np.array([7, 8, 9], np.uint8))
    segments = [{"id": 7 + 256 * 8 + 65536 * 9, "category_id": 1}]
    content: dict[str, Any] = {
        "images": [{"id": 5, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 5, "file_name": "a.png", "segments_info": segments}],
        "categories": [{"id": 1}],
    }
    (tmp_path / "panoptic.json").write_text(json.dumps(content))

    folders = ["--images", f"{tmp_path}/images", "--panoptic", f"{tmp_path}/panoptic"]
    json_file = ["--annotations", f"{tmp_path}/panoptic.json"]
    main(["panoptic", *folders, *json_file, "--out", f"{tmp_path}/ds", "--workers", "1"])

    assert np.array_equal(masks(tmp_path / "ds")["panoptic-a"], [block(2, 4)])


def test_via_regions_become_masks(tmp_path: Path) -> None:
    save(tmp_path / "images/a.jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    shape = {"name": "rect", "x": 4, "y": 2, "width": 8, "height": 8}
    content = {"a.jpg1": {"filename": "a.jpg", "regions": [{"shape_attributes": shape}]}}
    (tmp_path / "via.json").write_text(json.dumps(content))

    files = ["--images", f"{tmp_path}/images", "--annotations", f"{tmp_path}/via.json"]
    main(["via", *files, "--out", f"{tmp_path}/ds", "--workers", "1"])

    assert np.array_equal(masks(tmp_path / "ds")["via-a"], [block(2, 4)])
