"""One random click for each of 64 masks, anywhere in the error of a prediction.

The peer is sam2's `sample_random_points_from_errors`, which draws two noise values for every pixel;
ours counts pixels. The clicks are random, so equal means: all clicks of both lie in the error and
have the right label, and 2000 clicks on one mask are uniform over its error by the test of
Kolmogorov and Smirnov. Our draws from the objects' seeds are timed too.
"""

import torch
from jaxtyping import Bool, Float, Int
from sam2.modeling.sam2_utils import sample_random_points_from_errors
from scipy.stats import kstest
from torch import Tensor

from sam_train.interaction.draws import mix_seeds, uniform
from sam_train.interaction.sampling import error_point
from tools.benchmarks.comparison import Comparison
from tools.benchmarks.drawing.half_trained import draw_logits, draw_masks

MASKS = 64
TARGETS = {256: 12.0, 1024: 4.0}
CLICKS, LIKELY = 2000, 0.001
Masks = Bool[Tensor, "N H W"]
Clicks = tuple[Float[Tensor, "N 2"], Int[Tensor, " N"]]


def compare() -> list[Comparison]:
    """On the grid of the loss and on that of the input frame."""
    return [comparison(side, target) for side, target in TARGETS.items()]


def comparison(side: int, target: float) -> Comparison:
    gt_masks = draw_masks(MASKS, side)
    pred_masks = draw_logits(gt_masks)[:, 0] > 0
    return Comparison(
        f"error_points, {side}",
        "sam2",
        lambda: ours(pred_masks, gt_masks),
        lambda: theirs(pred_masks, gt_masks),
        equal=are_right(pred_masks, gt_masks) and are_even(),
        n=MASKS,
        target=target,
    )


def ours(pred_masks: Masks, gt_masks: Masks) -> Clicks:
    draws = uniform(mix_seeds(torch.arange(len(gt_masks)), 0), 0)
    return error_point(pred_masks, gt_masks, draws, inside=torch.ones_like(gt_masks))


def theirs(pred_masks: Masks, gt_masks: Masks) -> Clicks:
    coords, labels = sample_random_points_from_errors(gt_masks[:, None], pred_masks[:, None])
    return coords[:, 0], labels[:, 0]


def are_right(pred_masks: Masks, gt_masks: Masks) -> bool:
    """Whether clicks are on pixels that are missed (label 1) or wrong (label 0)."""
    each = torch.arange(len(gt_masks))
    for sample in (ours, theirs):
        coords, labels = sample(pred_masks, gt_masks)
        x, y = coords.long().T
        is_missed = gt_masks[each, y, x] & ~pred_masks[each, y, x]
        is_wrong = pred_masks[each, y, x] & ~gt_masks[each, y, x]
        if not ((is_missed & (labels == 1)) | (is_wrong & (labels == 0))).all():
            return False
    return True


def are_even() -> bool:
    """Whether the clicks on the largest error of a small grid are uniform, in row order."""
    torch.manual_seed(0)
    gt_masks = draw_masks(MASKS, 64)
    pred_masks = draw_logits(gt_masks)[:, 0] > 0
    largest = (pred_masks ^ gt_masks).sum((1, 2)).argmax()
    pred_masks, gt_masks = (
        masks[largest].expand(CLICKS, -1, -1) for masks in (pred_masks, gt_masks)
    )
    rank = (pred_masks[0] ^ gt_masks[0]).flatten().cumsum(0)  # of every pixel of the error
    for sample in (ours, theirs):
        x, y = sample(pred_masks, gt_masks)[0].long().T
        shares = (rank[y * 64 + x] - 0.5) / rank[-1]
        if kstest(shares.numpy(), "uniform").pvalue < LIKELY:
            return False
    return True
