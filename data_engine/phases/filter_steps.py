"""What the filters of the fully automatic phase leave, one after the other (SAM, App. B)."""

from collections.abc import Mapping
from typing import NamedTuple


class Step(NamedTuple):
    """What is left after a filter, and the setting of the phase that it obeys."""

    left: str
    setting: str


# By the count in a shard's stats, in the order of the filters.
STEPS = {
    "decoded": Step("answers of the model to all points", "generator.points_per_side"),
    "confident": Step("of a predicted IoU that is high enough", "generator.pred_iou_thresh"),
    "stable": Step("stable under another threshold", "generator.stability_score_thresh"),
    "not_whole_image": Step("smaller than the whole image", "generator.rules.max_area_share"),
    "not_cut": Step("not cut off by the edge of a crop", "generator.crop_overlap_ratio"),
    "unique_in_crop": Step("the best of those that overlap in a crop", "generator.box_nms_thresh"),
    "stitched": Step("joined across tiles", "tiling.tile_overlap"),
    "unique": Step("the best of those that overlap across crops", "generator.crop_nms_thresh"),
    "cleaned": Step("not a speck after cleaning", "generator.min_mask_region_area"),
    "different": Step("not the same mask twice", "generator.rules.mask_nms_thresh"),
    "kept": Step("within the number for an image", "generator.rules.max_masks"),
    "added": Step("not the same as an earlier mask of the image", "duplicate_iou"),
}


def steps_left(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts that are of a filter, in the order of the filters; none in other phases."""
    if "decoded" not in counts:
        return {}
    return {name: counts[name] for name in STEPS if name in counts}


def emptied(left: Mapping[str, int]) -> str | None:
    """Which filter left nothing of what was there, in a sentence; None if masks are left."""
    before = 0
    for name, count in left.items():
        if before and not count:
            return (
                f"no mask is left: of {before:,} none was {STEPS[name].left}: "
                f"change phase.{STEPS[name].setting} and choose another output_dir"
            )
        before = count
    return None
