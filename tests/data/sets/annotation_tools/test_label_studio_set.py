import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from sam_train.data.rle import decode_rle
from sam_train.data.sets.annotation_tools.label_studio_rle import pack_brush, unpack_brush
from sam_train.data.sets.annotation_tools.label_studio_set import LabelStudioSet
from sam_train.data.sets.known_masks import OrphanMask, UnusableMask

HEIGHT, WIDTH = 20, 40
BLOCK = np.zeros((HEIGHT, WIDTH), bool)
BLOCK[5:10, 10:20] = True
BOX = {"x": 25, "y": 25, "width": 25, "height": 25}  # the same, in percent
CORNERS = {"points": [[25, 25], [50, 25], [50, 50], [25, 50]]}


def region(kind: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {"id": "r", "type": kind, "value": value, **size, **more}


BRUSH = region("brushlabels", {"format": "rle", "rle": pack_brush(BLOCK)})


def write_tasks(
    folder: Path, *regions: dict[str, Any], image: str = "a.jpg", **annotation: Any
) -> Path:
    """A picture `a.jpg` and a json with one task for `image`."""
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "a.jpg")
    results = [{"result": list(regions), **annotation}]
    task = {"id": 1, "data": {"text": "look", "photo": image}, "annotations": results}
    (folder / "tasks.json").write_text(json.dumps([task]))
    return folder / "tasks.json"


def masks(folder: Path, *regions: dict[str, Any], **options: Any) -> list[np.ndarray]:
    (image,) = LabelStudioSet("ls", folder, write_tasks(folder, *regions), **options)
    return [decode_rle(rle) for rle in image.masks()]


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_packing_and_unpacking_are_inverse(mask: np.ndarray) -> None:
    assert np.array_equal(unpack_brush(pack_brush(mask), mask.shape), mask)


def test_a_run_that_is_longer_than_a_block_is_cut() -> None:
    mask = np.ones((300, 300), bool)
    mask[100, 100] = False

    assert np.array_equal(unpack_brush(pack_brush(mask), mask.shape), mask)


def test_values_that_are_not_repeated_are_read() -> None:
    # 8 values; words of 8 bits; lengths of 4 bits; one block of 8 values of their own.
    values = [9, 9, 9, 0, 9, 9, 9, 200]
    bits = f"{8:032b}{7:05b}" + f"{3:04b}" * 4 + f"000{7:04b}" + "".join(f"{v:08b}" for v in values)
    stream = [int(bits[place : place + 8].ljust(8, "0"), 2) for place in range(0, len(bits), 8)]

    assert unpack_brush(stream, (1, 2)).tolist() == [[False, True]]


def test_brush_polygon_and_box_show_the_same(tmp_path: Path) -> None:
    shapes = [BRUSH, region("polygonlabels", CORNERS), region("rectangle", BOX)]

    assert np.array_equal(masks(tmp_path, *shapes, boxes=True), [BLOCK] * 3)


def test_ellipses_and_turned_boxes_turn_clockwise(tmp_path: Path) -> None:
    flat = {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": 90}
    box = BOX | {"rotation": 90}

    ellipse, turned = masks(
        tmp_path, region("ellipselabels", flat), region("rectanglelabels", box), boxes=True
    )

    assert ellipse.any(1).sum() == 16 and ellipse.any(0).sum() == 4
    assert turned[5:15, 5:10].all() and turned.sum() == 50  # around the upper left corner


@pytest.mark.parametrize(
    "address",
    [
        "a.jpg",
        "/data/upload/3/0123abcd-a.jpg",
        "/data/local-files/?d=a.jpg",
        "https://example.org/photos/a.jpg?size=3",
        "s3://bucket/a.jpg",
    ],
)
def test_the_image_is_found_under_the_names_it_gets(tmp_path: Path, address: str) -> None:
    (image,) = LabelStudioSet("ls", tmp_path, write_tasks(tmp_path, BRUSH, image=address))

    assert image.key == "a"
    assert len(image.masks()) == 1


@pytest.mark.parametrize("address", ["/data/local-files/?d=../a.jpg", "x/%2e%2e/../a.jpg"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, address: str) -> None:
    (tmp_path / "images").mkdir()
    tasks = write_tasks(tmp_path, BRUSH, image=address)

    with pytest.raises(ValueError, match="which is not below"):
        LabelStudioSet("ls", tmp_path / "images", tasks)


def test_the_ground_truth_counts_and_what_was_cancelled_does_not(tmp_path: Path) -> None:
    write_tasks(tmp_path, BRUSH)
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    task["annotations"] = [
        {"result": [BRUSH, BRUSH], "ground_truth": True},
        {"result": [BRUSH]},
        {"result": [BRUSH] * 3, "was_cancelled": True},
    ]
    (tmp_path / "tasks.json").write_text(json.dumps([task]))

    (image,) = LabelStudioSet("ls", tmp_path, tmp_path / "tasks.json")

    assert len(image.masks()) == 2


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (region("rectanglelabels", BOX), "is a rectangle, no shape of an object"),
        (BRUSH | {"original_width": 41}, "drawn on 41 x 20"),
        (BRUSH | {"image_rotation": 90}, "turned by 90 degrees"),
        (region("brushlabels", {"rle": [255] * 20}), "4,294,967,295 values of 32 bits"),
        (region("brushlabels", {"rle": pack_brush(BLOCK)[:-2]}), "break off before their end"),
        (region("brushlabels", {"rle": [-1, 300]}), "must be a list of bytes"),
        (region("brushlabels", {"rle": "abc"}), "mask r of"),
        (region("polygonlabels", {"points": [[0, 0], [1e9, 0], [0, 5]]}), "far outside its image"),
        (region("polygonlabels", {"points": [["a", 0]]}), "cannot be read"),
        (region("ellipse", {"x": 5}), "cannot be read"),
    ],
)
def test_a_bad_region_costs_itself_and_is_named(
    tmp_path: Path, bad: dict[str, Any], message: str
) -> None:
    errors: list[Exception] = []

    found = masks(tmp_path, BRUSH, bad, on_bad=lambda *told: errors.append(told[2]))

    assert len(found) == 1
    (error,) = errors
    assert isinstance(error, UnusableMask)
    assert message in str(error)


def test_tasks_without_an_image_are_told(tmp_path: Path) -> None:
    write_tasks(tmp_path, BRUSH)
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    tasks = [task, task, task | {"data": {"image": "gone.jpg"}}]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    errors: list[Exception] = []

    found = LabelStudioSet(
        "ls", tmp_path, tmp_path / "tasks.json", on_bad=lambda *told: errors.append(told[2])
    )

    assert len(found) == 1
    assert [type(error) for error in errors] == [OrphanMask, OrphanMask]


@pytest.mark.parametrize(
    "text",
    [
        "[{",
        "{}",
        "[3]",
        '[{"image": "a.jpg", "tag": []}]',
        "[" * 100_000,
        '[{"data": {"image": 3}}]',
    ],
)
def test_another_json_is_one_sentence(tmp_path: Path, text: str) -> None:
    write_tasks(tmp_path).write_text(text)

    with pytest.raises((ValueError, FileNotFoundError), match="export the project|holds no image"):
        LabelStudioSet("ls", tmp_path, tmp_path / "tasks.json")
