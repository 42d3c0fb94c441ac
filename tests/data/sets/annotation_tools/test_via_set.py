import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam_train.data.rle import decode_rle
from sam_train.data.sets.annotation_tools.via_set import ViaSet
from sam_train.data.sets.known_masks import EmptyMask

HEIGHT, WIDTH = 20, 30
SQUARE = {"name": "polygon", "all_points_x": [4, 8, 8, 4], "all_points_y": [2, 2, 6, 6]}
RECTANGLE = {"name": "rect", "x": 4, "y": 2, "width": 4, "height": 4}


def via_json(folder: Path, shapes: list[dict[str, Any]], *, kind: str = "exported") -> Path:
    """A picture `a.jpg` and the json that VIA 1, VIA 2 or a VIA 2 project has for it."""
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "a.jpg")
    regions: Any = [{"shape_attributes": shape, "region_attributes": {}} for shape in shapes]
    if kind == "VIA 1":
        regions = {str(number): region for number, region in enumerate(regions)}
    via: Any = {"a.jpg123": {"filename": "a.jpg", "size": 123, "regions": regions}}
    if kind == "project":
        via = {"_via_settings": {}, "_via_img_metadata": via}
    (folder / "via.json").write_text(json.dumps(via))
    return folder / "via.json"


def masks(folder: Path, shapes: list[dict[str, Any]], **options: Any) -> list[np.ndarray]:
    (image,) = ViaSet("via", folder, via_json(folder, shapes), **options)
    return [decode_rle(rle) for rle in image.masks()]


@pytest.mark.parametrize("kind", ["exported", "VIA 1", "project"])
def test_each_region_is_a_mask(tmp_path: Path, kind: str) -> None:
    square = np.zeros((HEIGHT, WIDTH), bool)
    square[2:6, 4:8] = True

    (image,) = ViaSet("via", tmp_path, via_json(tmp_path, [SQUARE, RECTANGLE], kind=kind))

    assert image.key == "a"
    assert np.array_equal([decode_rle(rle) for rle in image.masks()], [square, square])


def test_ellipses_turn_clockwise_and_circles_have_one_radius(tmp_path: Path) -> None:
    ellipse = {"name": "ellipse", "cx": 15, "cy": 10, "rx": 9, "ry": 3}
    circle = {"name": "circle", "cx": 15, "cy": 10, "r": 5}

    flat, upright, tilted, disc = masks(
        tmp_path, [ellipse, ellipse | {"theta": np.pi / 2}, ellipse | {"theta": 0.5}, circle]
    )

    assert flat.any(0).sum() == 18 and flat.any(1).sum() == 6
    assert upright.any(0).sum() == 6 and upright.any(1).sum() == 18
    assert tilted[13, 22] and not tilted[6, 22]  # y grows downwards
    assert disc.any(0).sum() == disc.any(1).sum() == 10
    assert disc.sum() == pytest.approx(np.pi * 25, rel=0.05)


def test_a_region_that_leaves_the_image_is_cut(tmp_path: Path) -> None:
    (mask,) = masks(tmp_path, [{"name": "rect", "x": -5, "y": 15, "width": 10, "height": 50}])

    assert mask.sum() == mask[15:, :5].sum() == 25


def test_points_and_lines_are_empty_masks(tmp_path: Path) -> None:
    line = {"name": "polyline", "all_points_x": [1, 9], "all_points_y": [1, 9]}
    point = {"name": "point", "cx": 1, "cy": 1}
    shapes: list[dict[str, Any]] = [point, line, SQUARE]
    bad: list[tuple[str, type]] = []
    (image,) = ViaSet(
        "via",
        tmp_path,
        via_json(tmp_path, shapes),
        on_bad=lambda _, key, error: bad.append((key, type(error))),
    )

    assert len(image.masks()) == 1
    assert bad == [("mask 0", EmptyMask), ("mask 1", EmptyMask)]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"name": "spiral"}, "there is no shape 'spiral'"),
        ({"name": "circle", "cx": 1}, "cannot be read"),
        ({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1]}, "cannot be read"),
        (RECTANGLE | {"width": 1e9}, "far outside its image"),
        (RECTANGLE | {"x": "left"}, "cannot be read"),
    ],
)
def test_a_broken_region_costs_itself_and_is_named(
    tmp_path: Path, shape: dict[str, Any], message: str
) -> None:
    errors: list[Exception] = []
    found = masks(tmp_path, [RECTANGLE, shape], on_bad=lambda *bad: errors.append(bad[2]))

    assert len(found) == 1
    assert re.search(f"mask 1 of .*a.jpg .*{message}", str(errors[0]))


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"project": {}, "file": {}}', '{"a": {"regions": 3}}']
)
def test_another_json_is_named_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "via.json").write_text(text)

    with pytest.raises(ValueError, match=r"via\.json is no VIA 1 or 2 json .* VIA 3 as COCO"):
        ViaSet("via", tmp_path, tmp_path / "via.json")


def test_images_must_be_there_and_below_their_folder(tmp_path: Path) -> None:
    file = via_json(tmp_path, [SQUARE])
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no image of the json; set `images`"):
        ViaSet("via", tmp_path / "elsewhere", file)

    file.write_text('{"a": {"filename": "../a.jpg", "regions": []}}')
    with pytest.raises(ValueError, match="which is not below"):
        ViaSet("via", tmp_path, file)
