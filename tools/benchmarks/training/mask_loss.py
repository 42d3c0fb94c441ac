"""The losses of a round at 256 pixels, forward and backward: 64 objects with 3 masks, 8 with 1.

The peer is sam2's `MultiStepMultiMasksAndIous` (its `training.loss_fns`), with our weights. Equal
means that the losses agree to a millionth, and the gradients on logits and predicted IoU to a
millionth of the largest.
"""

import torch
from torch import Tensor
from training.loss_fns import CORE_LOSS_KEY, MultiStepMultiMasksAndIous

from sam_train.training.losses import MaskLoss
from tools.benchmarks.comparison import Comparison
from tools.benchmarks.drawing.half_trained import draw_logits, draw_masks

SIDE = 256
Gradients = tuple[Tensor, Tensor, Tensor]


def compare() -> list[Comparison]:
    """The first round of many objects, and a later one of few."""
    return [comparison(64, 3, target=6.0), comparison(8, 1, target=1.0)]


def comparison(objects: int, candidates: int, *, target: float) -> Comparison:
    gt_masks = draw_masks(objects, SIDE)
    logits = draw_logits(gt_masks, candidates).requires_grad_()
    iou_pred = torch.rand(objects, candidates, requires_grad=True)
    is_candidate = torch.ones(objects, candidates, dtype=torch.bool)
    our_loss = MaskLoss()
    their_loss = MultiStepMultiMasksAndIous(
        {
            "loss_mask": our_loss.focal_weight,
            "loss_dice": our_loss.dice_weight,
            "loss_iou": our_loss.iou_weight,
        }
    )
    theirs_takes = {
        "multistep_pred_multimasks_high_res": [logits],
        "multistep_pred_ious": [iou_pred],
        "multistep_object_score_logits": [None],
    }

    def ours() -> Gradients:
        loss = our_loss(logits, iou_pred, gt_masks, is_candidate)["loss"].mean()
        return loss.detach(), *torch.autograd.grad(loss, (logits, iou_pred))

    def theirs() -> Gradients:
        loss = their_loss([theirs_takes], gt_masks[None])[CORE_LOSS_KEY]
        return loss.detach(), *torch.autograd.grad(loss, (logits, iou_pred))

    pairs = zip(ours(), theirs(), strict=True)
    return Comparison(
        f"mask_loss, {objects} x {candidates}",
        "sam2",
        ours,
        theirs,
        equal=all(
            bool((one - other).abs().max() <= 1e-6 * other.abs().max()) for one, other in pairs
        ),
        n=objects,
        target=target,
    )
