from typing import Any

import numpy as np
import pytest
import segment_anything
import torch
from torch import nn

from sam_train import SamAutomaticMaskGenerator

MODES = ["binary_mask", "uncompressed_rle", "coco_rle"]


def assert_same_records(ours: list[dict[str, Any]], official: list[dict[str, Any]]) -> None:
    np.testing.assert_equal(ours, official)
    assert all(list(a) == list(b) for a, b in zip(ours, official, strict=True))


def by_point(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(records, key=lambda record: (record["point_coords"], record["predicted_iou"]))


def both(sam: nn.Module, image: np.ndarray, **settings: Any) -> tuple[list, list]:
    """The records of ours, and of the official generator on the official model of its parts."""
    parts = (sam.image_encoder, sam.prompt_encoder, sam.mask_decoder)
    official = segment_anything.modeling.Sam(*parts).eval()
    ours = SamAutomaticMaskGenerator(sam, **settings).generate(image)
    return ours, segment_anything.SamAutomaticMaskGenerator(official, **settings).generate(image)


@pytest.mark.parametrize("output_mode", MODES)
def test_records_equal_the_official_ones_in_every_output_mode(
    blob_sam: nn.Module, photo: np.ndarray, output_mode: str
) -> None:
    ours, official = both(
        blob_sam, photo, points_per_side=9, points_per_batch=16, output_mode=output_mode
    )
    assert len(ours) > 10
    assert_same_records(ours, official)


@pytest.mark.parametrize("min_mask_region_area", [0, 30])
def test_records_of_overlapping_crops_equal_the_official_ones(
    blob_sam: nn.Module, photo: np.ndarray, min_mask_region_area: int
) -> None:
    settings = {
        "points_per_side": 8,
        "crop_n_layers": 2,
        "crop_n_points_downscale_factor": 2,
        "crop_nms_thresh": 0.6,
        "min_mask_region_area": min_mask_region_area,
    }
    ours, official = both(blob_sam, photo, **settings)
    assert len({tuple(record["crop_box"]) for record in ours}) > 4
    assert_same_records(ours, official)


@pytest.mark.parametrize("size", [(173, 211), (96, 300), (128, 128), (41, 30)])
def test_records_equal_the_official_ones_at_any_size(
    blob_sam: nn.Module, photo: np.ndarray, size: tuple[int, int]
) -> None:
    image = np.resize(photo, (*size, 3))
    assert_same_records(*both(blob_sam, image, points_per_side=5, stability_score_thresh=0.5))


def test_every_mask_is_kept_without_thresholds(blob_sam: nn.Module, photo: np.ndarray) -> None:
    settings = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}
    ours, official = both(blob_sam, photo, points_per_side=4, **settings)
    assert len(ours) == 4 * 4 * 3
    assert_same_records(ours, official)


def test_our_network_makes_the_masks_of_the_official_one(
    sam: nn.Module, official_sam: nn.Module, photo: np.ndarray
) -> None:
    settings = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.4, "box_nms_thresh": 1.0}
    settings |= {"points_per_side": 5}
    ours = SamAutomaticMaskGenerator(sam, **settings).generate(photo)
    official = segment_anything.SamAutomaticMaskGenerator(official_sam, **settings).generate(photo)
    assert len(ours) == len(official) > 20
    for record, expected in zip(by_point(ours), by_point(official), strict=True):
        assert record["point_coords"] == expected["point_coords"]
        assert (record["segmentation"] != expected["segmentation"]).mean() < 1e-3
        assert record["predicted_iou"] == pytest.approx(expected["predicted_iou"], abs=1e-4)


def test_memory_limits_do_not_change_the_records(
    blob_sam: nn.Module, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = SamAutomaticMaskGenerator(blob_sam, points_per_side=6, output_mode="coco_rle")
    at_once = generator.generate(photo)
    monkeypatch.setattr("sam_train.inference.automatic.outline_tiles.MAX_TILES", 1)
    assert generator.generate(photo) == at_once


def test_masks_below_the_predicted_iou_are_never_enlarged(
    blob_sam: nn.Module, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> torch.Tensor:
        raise AssertionError("a dropped mask was enlarged")

    monkeypatch.setattr(blob_sam, "postprocess_masks", fail)
    generator = SamAutomaticMaskGenerator(blob_sam, points_per_side=4, pred_iou_thresh=2.0)
    assert generator.generate(photo) == []


def test_an_image_without_masks_gives_no_records_from_crops_either(
    blob_sam: nn.Module, photo: np.ndarray
) -> None:
    generator = SamAutomaticMaskGenerator(
        blob_sam, points_per_side=2, pred_iou_thresh=2.0, crop_n_layers=1, min_mask_region_area=9
    )
    assert generator.generate(photo) == []


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"points_per_side": None}, "exactly one of points_per_side and point_grids"),
        ({"point_grids": [np.zeros((1, 2))]}, "exactly one of points_per_side and point_grids"),
        ({"output_mode": "polygon"}, "must be one of binary_mask.*'polygon'"),
        ({"points_per_batch": 0}, "points_per_batch must be at least 1"),
        ({"stability_score_offset": -1.0}, "stability_score_offset must be at least 0"),
        ({"crop_n_layers": -1}, "crop_n_layers must be at least 0"),
        ({"crop_n_points_downscale_factor": 0}, "must be at least 1, not 0"),
        ({"crop_overlap_ratio": 1.0}, "at least 0 and below 1, not 1.0"),
        ({"pred_iou_thresh": float("nan")}, "no mask would pass it"),
        ({"points_per_side": None, "point_grids": [np.full((1, 2), np.nan)]}, r"lie in \[0, 1\]"),
        ({"points_per_side": 2, "crop_n_layers": 2, "crop_n_points_downscale_factor": 2}, "raise"),
        ({"points_per_side": None, "point_grids": [np.ones((3, 3))]}, r"\(P, 2\), not \(3, 3\)"),
        ({"points_per_side": None, "point_grids": [np.full((1, 2), 50.0)]}, r"lie in \[0, 1\]"),
        (
            {"points_per_side": None, "point_grids": [np.ones((1, 2))], "crop_n_layers": 1},
            "needs 2 point_grids, not 1",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(
    sam: nn.Module, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        SamAutomaticMaskGenerator(sam, **settings)


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (1, 200)])
def test_images_of_few_pixels_have_fewer_crops(sam: nn.Module, size: tuple[int, int]) -> None:
    generator = SamAutomaticMaskGenerator(
        sam, points_per_side=2, pred_iou_thresh=-9.0, crop_n_layers=2
    )
    for record in generator.generate(np.full((*size, 3), 90, np.uint8)):
        assert record["segmentation"].shape == size


def test_a_grey_image_is_refused(sam: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"\(H, W, 3\), not uint8 of shape \(20, 20\)"):
        SamAutomaticMaskGenerator(sam, points_per_side=2).generate(np.zeros((20, 20), np.uint8))
