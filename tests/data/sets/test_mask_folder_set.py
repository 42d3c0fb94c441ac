import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_train.data.rle import decode_rle
from sam_train.data.sets.known_masks import UnusableMask
from sam_train.data.sets.labeled_image import ImageSet
from sam_train.data.sets.mask_folder_set import MaskFolderSet

HEIGHT, WIDTH = 20, 30


def save(file: Path, pixels: np.ndarray | None = None, mode: str | None = None) -> None:
    """Writes pixels, or an empty picture of the common size."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8) if pixels is None else pixels
    image = Image.fromarray(pixels)
    if mode == "P":
        image.putpalette([value for grey in range(256) for value in (grey, 0, 255 - grey)])
    image.save(file)


def block(top: int, left: int, *, value: int = 255, side: int = 4) -> np.ndarray:
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[top : top + side, left : left + side] = value
    return labels


def masks_of(image_set: ImageSet) -> dict[str, list[np.ndarray]]:
    return {image.key: [decode_rle(rle) for rle in image.masks()] for image in image_set}


def test_a_mask_belongs_to_the_longest_prefix_that_splits_no_number(tmp_path: Path) -> None:
    for folder, name in [("one", "21"), ("one", "210"), ("two", "cat"), ("two", "cat_2")]:
        save(tmp_path / folder / f"{name}.jpg")
    masks = ["21_0", "21b", "210", "cat_1", "cat_2_1"]
    for number, name in enumerate(masks):
        save(tmp_path / "masks" / f"{name}.png", block(number, 0))

    images = [tmp_path / "one", tmp_path / "two"]
    image_set = MaskFolderSet("set", images, tmp_path / "masks", layout="prefix")

    counts = {key: len(masks) for key, masks in masks_of(image_set).items()}
    assert counts == {"21": 2, "210": 1, "cat": 1, "cat_2": 1}


@pytest.mark.parametrize("shared_root", [True, False])
def test_a_folder_of_masks_belongs_to_the_image_of_its_name(
    tmp_path: Path, shared_root: bool
) -> None:
    image = "root/ab/images/ab.png" if shared_root else "pictures/ab.png"
    save(tmp_path / image)
    save(tmp_path / "root/ab/masks/1.png", block(0, 0))
    save(tmp_path / "root/ab/masks/2.png", block(9, 9))

    images = tmp_path / image.split("/")[0]
    image_set = MaskFolderSet("set", images, tmp_path / "root", layout="folder")

    assert [mask.sum() for mask in masks_of(image_set)["ab"]] == [16, 16]


def test_binary_masks_leave_the_undecided_band_out(tmp_path: Path) -> None:
    save(tmp_path / "images/film/0.jpg")
    trimap = np.maximum(block(2, 2, value=128, side=8), block(4, 4))
    save(tmp_path / "masks/film/0.png", trimap)

    image_set = MaskFolderSet("set", tmp_path / "images", tmp_path / "masks", layout="binary")

    assert np.array_equal(masks_of(image_set)["film-0"][0], trimap == 255)


def test_binary_masks_may_be_of_zeros_and_ones(tmp_path: Path) -> None:
    save(tmp_path / "images/0.jpg")
    save(tmp_path / "masks/0.png", block(2, 2, value=1))

    image_set = MaskFolderSet("set", tmp_path / "images", tmp_path / "masks", layout="binary")

    assert masks_of(image_set)["0"][0].sum() == 16


def test_masks_may_be_of_floats_that_are_whole_numbers(tmp_path: Path) -> None:
    save(tmp_path / "images/0.jpg")
    save(tmp_path / "masks/0.tif", block(2, 2, value=1).astype(np.float32))

    image_set = MaskFolderSet("set", tmp_path / "images", tmp_path / "masks", layout="binary")

    assert masks_of(image_set)["0"][0].sum() == 16


@pytest.mark.parametrize("value", [0.7, np.nan])
def test_fractions_are_no_mask(tmp_path: Path, value: float) -> None:
    save(tmp_path / "images/0.jpg")
    save(tmp_path / "masks/0.tif", block(2, 2, value=1) * np.float32(value))
    (image,) = MaskFolderSet("set", tmp_path / "images", tmp_path / "masks", layout="binary")

    with pytest.raises(UnusableMask, match=r"0\.tif: .* other than whole numbers"):
        image.masks()


def test_ids_are_no_mask_of_one_object(tmp_path: Path) -> None:
    save(tmp_path / "images/0.jpg")
    ids = sum(block(4 * n, 4 * n, value=50 * n) for n in range(1, 5))
    save(tmp_path / "masks/0.png", ids)
    (image,) = MaskFolderSet("set", tmp_path / "images", tmp_path / "masks", layout="binary")

    with pytest.raises(UnusableMask, match=r"0\.png: .* layout label_image"):
        image.masks()


def test_components_are_objects_unless_they_are_specks(tmp_path: Path) -> None:
    save(tmp_path / "images/0.jpg")
    touching_at_a_corner = block(0, 0) | block(4, 4) | block(15, 25, side=2)
    save(tmp_path / "masks/0.png", touching_at_a_corner)
    folders = tmp_path / "images", tmp_path / "masks"

    all_parts = MaskFolderSet("set", *folders, layout="components")
    large_parts = MaskFolderSet("set", *folders, layout="components", min_area=10)

    assert [len(masks_of(image_set)["0"]) for image_set in (all_parts, large_parts)] == [3, 2]


def test_label_images_have_an_object_per_value_except_void(tmp_path: Path) -> None:
    save(tmp_path / "images/0.jpg")
    save(tmp_path / "images/without_mask.jpg")
    labels = block(0, 0, value=3) + block(8, 8, value=7) + block(15, 20, value=255)
    save(tmp_path / "masks/0.png", labels, mode="P")

    image_set = MaskFolderSet("set", tmp_path / "images", tmp_path / "masks", layout="label_image")

    masks = masks_of(image_set)
    assert list(masks) == ["0"]
    assert np.array_equal(masks["0"], [labels == 3, labels == 7])


def test_a_mask_of_another_size_is_named_or_resized(tmp_path: Path) -> None:
    save(tmp_path / "images/0.jpg")
    save(tmp_path / "masks/0.png", np.full((16, 24), 255, np.uint8))
    folders = tmp_path / "images", tmp_path / "masks"

    (image,) = MaskFolderSet("set", *folders, layout="binary")
    with pytest.raises(ValueError, match=r"0\.png is 24 x 16 pixels, its image 30 x 20"):
        image.masks()
    (image,) = MaskFolderSet("set", *folders, layout="binary", resize_masks=True)
    assert image.masks()[0]["size"] == [HEIGHT, WIDTH]


def test_empty_masks_and_masks_without_an_image_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    save(tmp_path / "images/a.jpg")
    save(tmp_path / "masks/a_0.png", block(0, 0))
    save(tmp_path / "masks/a_1.png", block(0, 0, value=0))
    save(tmp_path / "masks/b_0.png", block(0, 0))

    image_set = MaskFolderSet("set", tmp_path / "images", tmp_path / "masks", layout="prefix")

    assert len(masks_of(image_set)["a"]) == 1
    assert "b_0.png" in caplog.text and "a_1.png is empty" in caplog.text


def test_masks_that_all_belong_elsewhere_are_an_error(tmp_path: Path) -> None:
    save(tmp_path / "images/a.jpg")
    save(tmp_path / "masks/b.png", block(0, 0))

    with pytest.raises(ValueError, match=r"check `images`, `masks` and `layout` \(binary\)"):
        MaskFolderSet("set", tmp_path / "images", tmp_path / "masks", layout="binary")


def test_each_colour_but_black_is_an_object(tmp_path: Path) -> None:
    save(tmp_path / "images/0.jpg")
    red, green = block(0, 0), block(8, 8)
    save(tmp_path / "masks/0.png", np.stack([red // 3, green // 3, red // 5], axis=-1))

    image_set = MaskFolderSet("set", tmp_path / "images", tmp_path / "masks", layout="label_image")

    found = masks_of(image_set)["0"]
    assert sorted(mask.sum() for mask in found) == [16, 16]
    assert np.array_equal(found[0] | found[1], (red + green) > 0)


def test_what_is_left_out_is_told_to_on_bad(tmp_path: Path) -> None:
    save(tmp_path / "images/a.jpg")
    save(tmp_path / "images/unmasked.jpg")
    save(tmp_path / "masks/a_0.png", block(0, 0, value=0))
    save(tmp_path / "masks/more/b.png", block(0, 0))
    bad: list[tuple[str, str, str]] = []

    image_set = MaskFolderSet(
        "set",
        tmp_path / "images",
        tmp_path / "masks",
        layout="prefix",
        on_bad=lambda name, key, error: bad.append((Path(name).name, key, type(error).__name__)),
    )

    assert masks_of(image_set) == {"a": []}
    assert bad == [
        ("set", "more/b.png", "OrphanMask"),
        ("set", "unmasked", "UnmaskedImage"),
        ("a_0.png", "mask 0", "EmptyMask"),
    ]
