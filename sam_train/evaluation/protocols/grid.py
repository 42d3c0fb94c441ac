"""All masks that a regular grid of clicks gives, for protocols that ask for everything.

Points are the centres of a grid (SAM, App. B). Every candidate is kept, whatever its scores;
then box NMS by predicted IoU.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sam_train.evaluation.models.segmenter import ImagePrompts, Segmenter, ask, full_logits
from sam_train.evaluation.protocols.rounds import prompts_at_once
from sam_train.inference.mask_filters import stability_score, suppress_duplicates
from sam_train.inference.point_grid import build_point_grid
from sam_train.interaction.prompts import FOREGROUND
from sam_train.interaction.sampling import mask_boxes


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
    step = prompts_at_once(size)
    parts = [
        _answer_points(segmenter, points[start : start + step], size, multimask_output)
        for start in range(0, len(points), step)
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
        logits = full_logits(segmenter, candidate, size)
        masks = logits > 0
        found = masks.flatten(1).any(1)
        stability = stability_score(logits, 0.0, 1.0).float()
        boxes = mask_boxes(masks).long()
        kept.append([part[found].cpu() for part in (candidate, scores, stability, boxes)])
    return tuple(torch.cat(part) for part in zip(*kept, strict=True))  # type: ignore[return-value]
