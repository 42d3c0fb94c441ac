"""All masks that a regular grid of clicks gives, for protocols that ask for everything.

Points are the centres of a grid (SAM, App. B). Every candidate is kept, whatever its scores;
then box NMS by predicted IoU.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sam_train.data.run_edges import foreground_box
from sam_train.evaluation.models.segmenter import (
    ImagePrompts,
    MaskWindow,
    Segmenter,
    ask,
    mask_windows,
)
from sam_train.evaluation.protocols.rounds import prompts_at_once
from sam_train.inference.mask_filters import suppress_duplicates
from sam_train.inference.point_grid import build_point_grid
from sam_train.interaction.prompts import FOREGROUND

STABILITY_OFFSET = 1.0  # logits (segment_anything)


@dataclass(frozen=True)
class GridMasks:
    """Candidates without duplicates, the highest predicted IoU first; logits still small."""

    low_res_logits: Float[Tensor, "N h w"]
    iou_pred: Float[Tensor, " N"]
    stability: Float[Tensor, " N"]

    def __len__(self) -> int:
        return len(self.iou_pred)

    def __getitem__(self, chosen: Tensor) -> "GridMasks":
        return GridMasks(self.low_res_logits[chosen], self.iou_pred[chosen], self.stability[chosen])


def grid_masks(
    segmenter: Segmenter,
    size: tuple[int, int],
    *,
    points_per_side: int,
    nms_thresh: float,
    multimask_output: bool = True,
) -> GridMasks:
    """The masks of every point of the grid; empty ones are left out. The image must be set."""
    points = torch.from_numpy(build_point_grid(points_per_side) * size[::-1]).float()
    parts = [
        _answer_points(segmenter, batch, size, multimask_output)
        for batch in points.split(prompts_at_once(size))
    ]
    logits, iou_pred, stability, boxes = (torch.cat(part) for part in zip(*parts, strict=True))
    kept = suppress_duplicates(boxes, iou_pred, nms_thresh)
    return GridMasks(logits, iou_pred, stability)[torch.tensor(kept, dtype=torch.int64)]


def _answer_points(
    segmenter: Segmenter,
    points: Float[Tensor, "P 2"],
    size: tuple[int, int],
    multimask_output: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits, predicted IoU, stability and box of each candidate that is not empty."""
    labels = torch.full((len(points), 1), FOREGROUND)
    prompts = ImagePrompts(points[:, None], labels)
    answer = ask(segmenter, prompts, multimask_output=multimask_output)
    kept = []
    for candidate, scores in zip(
        answer.low_res_logits.unbind(1), answer.iou_pred.unbind(1), strict=True
    ):
        windows = mask_windows(segmenter, candidate, size, offset=STABILITY_OFFSET)
        described = [(window.stability, *window_box(window)) for window in windows]
        stability, *boxes = torch.tensor(described, dtype=torch.float32).unbind(1)
        found = boxes[0] >= 0
        parts = (candidate.cpu(), scores.cpu(), stability, torch.stack(boxes, 1).long())
        kept.append([part[found] for part in parts])
    return tuple(torch.cat(part) for part in zip(*kept, strict=True))  # type: ignore[return-value]


def window_box(window: MaskWindow) -> tuple[int, int, int, int]:
    """The outermost pixels XYXY (inclusive, as in SAM); -1 where the mask is empty."""
    left, top, right, bottom = foreground_box(window.pixels)
    if right <= left:
        return -1, -1, -1, -1
    x, y = window.corner
    return x + left, y + top, x + right - 1, y + bottom - 1
