from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from sam_train.data.sets.bsds_set import BsdsSet
from sam_train.data.sets.known_masks import OrphanMask

HEIGHT, WIDTH = 20, 30


def segmentation(regions: np.ndarray) -> np.ndarray:
    """One annotator's cell of a BSDS500 file."""
    cell = np.empty((1, 1), dtype=[("Segmentation", object)])
    cell[0, 0]["Segmentation"] = regions.astype(np.uint16)
    return cell


def test_bsds_takes_every_region_of_the_finest_annotator(tmp_path: Path, save, masks_of) -> None:
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


def test_a_bsds_file_without_an_image_is_an_orphan(tmp_path: Path, save) -> None:
    save(tmp_path / "images/a.jpg")
    for name in "ab":
        (tmp_path / f"{name}.mat").write_bytes(b"")
    bad: list[tuple[str, str, type]] = []

    BsdsSet(
        "bsds", tmp_path / "images", tmp_path, on_bad=lambda *b: bad.append((*b[:2], type(b[2])))
    )

    assert bad == [("bsds", "b", OrphanMask)]


def test_a_broken_bsds_file_is_named(tmp_path: Path, save) -> None:
    save(tmp_path / "images/a.jpg")
    (tmp_path / "a.mat").write_bytes(b"no matrix")
    (image,) = BsdsSet("bsds", tmp_path / "images", tmp_path)

    with pytest.raises(ValueError, match=r"a\.mat is no BSDS500 ground truth"):
        image.masks()
