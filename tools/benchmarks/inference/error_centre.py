"""The innermost pixel of the error of each of 64 predictions at 1024 pixels, as evaluation clicks.

The peer is sam2's `sample_one_point_from_error_center`; both make exact distance transforms by
OpenCV, ours only of the error's box. Equal means the same points and labels. In the second row a
hundredth of all pixels is wrong, so that no box is smaller than the image.
"""

import torch
from jaxtyping import Bool
from sam2.modeling.sam2_utils import sample_one_point_from_error_center
from torch import Tensor

from sam_train.interaction.sampling import error_centre
from tools.benchmarks.comparison import Comparison
from tools.benchmarks.drawing.half_trained import draw_logits, draw_masks

MASKS, SIDE = 64, 1024
WRONG = 0.01


def compare() -> list[Comparison]:
    """With errors near the outlines, and with errors everywhere."""
    gt_masks = draw_masks(MASKS, SIDE)
    pred_masks = draw_logits(gt_masks)[:, 0] > 0
    speckled = pred_masks ^ (torch.rand(gt_masks.shape) < WRONG)
    return [
        comparison("error_centre", pred_masks, gt_masks, target=8.0),
        comparison("error_centre, everywhere", speckled, gt_masks),
    ]


def comparison(
    name: str,
    pred_masks: Bool[Tensor, "N H W"],
    gt_masks: Bool[Tensor, "N H W"],
    *,
    target: float | None = None,
) -> Comparison:
    def theirs() -> tuple[Tensor, Tensor]:
        coords, labels = sample_one_point_from_error_center(gt_masks[:, None], pred_masks[:, None])
        return coords[:, 0], labels[:, 0]

    pairs = zip(error_centre(pred_masks, gt_masks), theirs(), strict=True)
    return Comparison(
        name,
        "sam2",
        lambda: error_centre(pred_masks, gt_masks),
        theirs,
        equal=all(bool((one == other).all()) for one, other in pairs),
        n=MASKS,
        target=target,
    )
