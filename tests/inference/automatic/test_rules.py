from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sam_train import SamAutomaticMaskGenerator
from sam_train.inference.automatic.rules import MaskRules

SETTINGS = {"points_per_side": 6, "stability_score_thresh": 0.5}


def records(sam: nn.Module, photo: np.ndarray, **settings: Any) -> list[dict[str, Any]]:
    return SamAutomaticMaskGenerator(sam, **SETTINGS | settings).generate(photo)


def test_large_masks_are_dropped_before_they_hide_others(
    blob_sam: nn.Module, photo: np.ndarray
) -> None:
    every = records(blob_sam, photo)
    limit = np.median([record["area"] for record in every]) / (photo.shape[0] * photo.shape[1])
    small = records(blob_sam, photo, rules=MaskRules(max_area_share=float(limit)))
    assert small
    assert all(record["area"] < limit * photo.shape[0] * photo.shape[1] for record in small)


def test_masks_that_show_the_same_are_dropped_by_mask_iou(
    blob_sam: nn.Module, photo: np.ndarray
) -> None:
    every = records(blob_sam, photo, box_nms_thresh=1.0)
    kept = records(blob_sam, photo, box_nms_thresh=1.0, rules=MaskRules(mask_nms_thresh=0.6))
    assert 1 < len(kept) < len(every)
    for i, a in enumerate(kept):
        for b in kept[:i]:
            both = (a["segmentation"] & b["segmentation"]).sum()
            assert both <= 0.6 * (a["segmentation"] | b["segmentation"]).sum()


def test_a_cap_keeps_the_best(blob_sam: nn.Module, photo: np.ndarray) -> None:
    every = records(blob_sam, photo)
    best = records(blob_sam, photo, rules=MaskRules(max_masks=3))
    scores = sorted((record["predicted_iou"] for record in every), reverse=True)
    assert sorted((record["predicted_iou"] for record in best), reverse=True) == scores[:3]


def test_masks_whose_largest_part_is_small_are_dropped_on_request(
    blob_sam: nn.Module, photo: np.ndarray
) -> None:
    areas = [record["area"] for record in records(blob_sam, photo)]
    limit = int(np.median(areas))
    kept = records(blob_sam, photo, min_mask_region_area=limit)
    strict = records(
        blob_sam, photo, min_mask_region_area=limit, rules=MaskRules(drop_small_masks=True)
    )
    assert min(record["area"] for record in strict) >= limit
    assert len(strict) < len(kept)


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ({"max_area_share": 0.0}, "max_area_share must be above 0"),
        ({"mask_nms_thresh": 1.5}, "mask_nms_thresh must be above 0 and at most 1, not 1.5"),
        ({"max_masks": 0}, "max_masks must be at least 1"),
    ],
)
def test_rules_that_cannot_hold_are_refused(rules: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        MaskRules(**rules)


def test_several_images_and_crops_at_once_give_the_masks_of_each(
    blob_sam: nn.Module, photo: np.ndarray
) -> None:
    images = [photo, photo[:100, :90]]
    settings = SETTINGS | {"points_per_side": 3, "crop_n_layers": 1, "output_mode": "coco_rle"}
    together = SamAutomaticMaskGenerator(blob_sam, **settings, crops_per_batch=4).segment(images)
    for image, masks in zip(images, together, strict=True):
        alone = SamAutomaticMaskGenerator(blob_sam, **settings).generate(image)
        assert len(masks.candidates) == pytest.approx(len(alone), abs=1)


def test_counts_fall_from_stage_to_stage(blob_sam: nn.Module, photo: np.ndarray) -> None:
    rules = MaskRules(max_area_share=0.2, mask_nms_thresh=0.9, max_masks=5)
    generator = SamAutomaticMaskGenerator(
        blob_sam, **SETTINGS, crop_n_layers=1, min_mask_region_area=20, rules=rules
    )
    (masks,) = generator.segment([photo])
    stages = ["decoded", "confident", "stable", "not_whole_image", "not_cut", "unique_in_crop",
              "unique", "cleaned", "different", "kept"]  # fmt: skip
    assert list(masks.counts) == stages
    values = [masks.counts[stage] for stage in stages]
    assert values == sorted(values, reverse=True)
    assert values[0] == 3 * (36 + 4 * 36) and values[-1] == len(masks.candidates) == 5
    nothing = SamAutomaticMaskGenerator(blob_sam, **SETTINGS, pred_iou_thresh=2.0)
    assert list(nothing.segment([photo])[0].counts) == stages


def test_the_label_map_shows_parts_on_their_wholes(blob_sam: nn.Module, photo: np.ndarray) -> None:
    (masks,) = SamAutomaticMaskGenerator(blob_sam, **SETTINGS).segment([photo])
    labels = masks.label_map()
    segmentations = [record["segmentation"] for record in masks.records("binary_mask")]
    assert np.array_equal(labels > 0, np.any(segmentations, axis=0))
    smallest = min(range(len(segmentations)), key=lambda i: segmentations[i].sum())
    assert (labels[segmentations[smallest]] == smallest + 1).all()


def test_a_model_in_bf16_finds_nearly_the_same_masks(sam: nn.Module, photo: np.ndarray) -> None:
    settings = {"points_per_side": 3, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    settings |= {"box_nms_thresh": 1.0}
    full, half = (
        SamAutomaticMaskGenerator(sam, **settings, bf16=bf16)
        .segment([photo])[0]
        .records("coco_rle")
        for bf16 in (False, True)
    )
    assert len(full) == len(half) == 27
    assert all(torch.isfinite(torch.tensor(record["predicted_iou"])) for record in half)
