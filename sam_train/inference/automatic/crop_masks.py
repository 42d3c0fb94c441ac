"""From the decoder's masks of one crop to the masks that pass the filters on a single mask."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sam_train.inference.automatic.candidates import Box, Candidate
from sam_train.inference.automatic.enlarging import Axis, enlarged_axis
from sam_train.inference.automatic.outline_tiles import Levels, TiledMasks, tiled_masks
from sam_train.inference.mask_filters import touches_crop_edge

# What crop_candidates counts, in its order.
FILTERS = ("decoded", "confident", "stable", "not_whole_image", "not_cut")


@dataclass(frozen=True)
class MaskThresholds:
    """What a mask must reach by itself; the first two are not asked for at 0 or below.

    It must cover less than `max_area_share` of the image, which is not asked for at 1. A mask
    that a crop cuts off is left out unless it will be completed (`keep_cut`).
    """

    pred_iou: float
    stability: float
    levels: Levels
    max_area_share: float = 1.0
    keep_cut: bool = False


@dataclass(frozen=True)
class Crop:
    """Where a crop lies in its image, and its size in the input frame."""

    box: Box
    image_size: tuple[int, int]
    input_size: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        x0, y0, x1, y1 = self.box
        return y1 - y0, x1 - x0


@dataclass(frozen=True)
class DecodedMasks:
    """The decoder's masks of a crop, each with the point of the crop that was clicked for it."""

    low_res_logits: Float[Tensor, "N h w"]
    iou_pred: Float[Tensor, " N"]
    points: Float[np.ndarray, "N 2"]

    def keep(self, chosen: Bool[Tensor, " N"]) -> "DecodedMasks":
        points = self.points[chosen.cpu().numpy()]
        return DecodedMasks(self.low_res_logits[chosen], self.iou_pred[chosen], points)

    def part(self, group: slice) -> "DecodedMasks":
        return DecodedMasks(self.low_res_logits[group], self.iou_pred[group], self.points[group])


def confident(decoded: DecodedMasks, pred_iou_thresh: float) -> DecodedMasks:
    """Those whose predicted IoU is above the threshold."""
    if pred_iou_thresh <= 0:
        return decoded
    return decoded.keep(decoded.iou_pred > pred_iou_thresh)


def crop_candidates(
    decoded: DecodedMasks,
    crop: Crop,
    frame: int,
    thresholds: MaskThresholds,
    counts: Counter[str],
) -> Iterator[Candidate]:
    """The candidates among the decoded masks; `frame` is the side of the model's input.

    What is left after each filter is added to the counts.
    """
    counts["decoded"] += len(decoded.points)
    decoded = confident(decoded, thresholds.pred_iou)
    counts["confident"] += len(decoded.points)
    if not len(decoded.points):
        return
    axes = crop_axes(decoded.low_res_logits, crop, frame)
    for group, masks in tiled_masks(decoded.low_res_logits, axes, thresholds.levels):
        yield from _passing_candidates(decoded.part(group), masks, crop, thresholds, counts)


def crop_axes(low_res_logits: Float[Tensor, "N h w"], crop: Crop, frame: int) -> tuple[Axis, Axis]:
    """How rows and columns of low-resolution logits become those of the crop."""
    device = low_res_logits.device
    sizes = zip(low_res_logits.shape[1:], crop.input_size, crop.size, strict=True)
    rows, columns = (enlarged_axis(low, frame, *inside, device) for low, *inside in sizes)
    return rows, columns


def _passing_candidates(
    decoded: DecodedMasks,
    masks: TiledMasks,
    crop: Crop,
    thresholds: MaskThresholds,
    counts: Counter[str],
) -> list[Candidate]:
    """What passes stability, size and crop edge: areas and boxes decide, no pixel is looked at."""
    stability = torch.from_numpy(masks.inner_area) / torch.from_numpy(masks.outer_area)
    boxes = torch.from_numpy(masks.boxes + np.array(crop.box[:2] * 2))
    passing = torch.ones(len(boxes), dtype=torch.bool)
    if thresholds.stability > 0:
        passing &= stability >= thresholds.stability
    counts["stable"] += int(passing.sum())
    if thresholds.max_area_share < 1:
        height, width = crop.image_size
        passing &= torch.from_numpy(masks.area) < thresholds.max_area_share * height * width
    counts["not_whole_image"] += int(passing.sum())
    if not thresholds.keep_cut:
        passing &= ~touches_crop_edge(boxes, crop.box, crop.image_size)
    counts["not_cut"] += int(passing.sum())

    scores, iou_pred = stability.tolist(), decoded.iou_pred.tolist()
    (x0, y0, _, _), points = crop.box, decoded.points.tolist()
    return [
        Candidate(
            mask=masks[i],
            area=int(masks.area[i]),
            box=tuple(boxes[i].tolist()),
            predicted_iou=iou_pred[i],
            stability_score=scores[i],
            points=((points[i][0] + x0, points[i][1] + y0),),
            crop_box=crop.box,
        ).within_memory(crop.image_size)
        for i in passing.nonzero().flatten().tolist()
    ]
