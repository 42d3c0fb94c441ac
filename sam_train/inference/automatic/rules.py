"""What the fully automatic phase asks of masks beyond the released code (SAM, App. B)."""

from dataclasses import dataclass

from sam_train.data.rle import rle_iou
from sam_train.inference.automatic.candidates import Candidate


@dataclass(frozen=True)
class MaskRules:
    """Rules that the released generator does not have; by default none of them acts.

    Masks over `max_area_share` of the image or more are dropped, before NMS, so that they hide
    nothing. Of masks with an IoU above `mask_nms_thresh` the best stays; with `box_nms_thresh=1`
    this replaces box NMS, in which an object vanishes behind another with nearly its box.
    `drop_small_masks` drops a mask whose largest part has less than `min_mask_region_area`
    pixels, instead of keeping that part. Only the `max_masks` best masks stay.
    """

    max_area_share: float = 1.0
    mask_nms_thresh: float = 1.0
    drop_small_masks: bool = False
    max_masks: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_area_share", "mask_nms_thresh"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(
                    f"{name} must be above 0 and at most 1, not {getattr(self, name)}."
                )
        if self.max_masks is not None and self.max_masks < 1:
            raise ValueError(f"max_masks must be at least 1, or none at all, not {self.max_masks}.")


def without_same_masks(
    candidates: list[Candidate], size: tuple[int, int], mask_nms_thresh: float
) -> list[Candidate]:
    """Drops masks that show what a better one shows: by predicted IoU, and by mask IoU."""
    rles = [candidate.rle(size) for candidate in candidates]
    kept: list[int] = []
    for index in best_first(candidates):
        overlaps = rle_iou([rles[index]], [rles[i] for i in kept])
        if not (overlaps > mask_nms_thresh).any():
            kept.append(index)
    return [candidates[i] for i in sorted(kept)]


def best_masks(candidates: list[Candidate], max_masks: int) -> list[Candidate]:
    """Those of the highest predicted IoU, in the order that they had."""
    return [candidates[i] for i in sorted(best_first(candidates)[:max_masks])]


def best_first(candidates: list[Candidate]) -> list[int]:
    """The order by predicted IoU."""
    return sorted(range(len(candidates)), key=lambda i: -candidates[i].predicted_iou)
