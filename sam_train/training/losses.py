"""The losses of SAM's training (App. A): focal and Dice on the best candidate, MSE on its IoU."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from sam_train.interaction.masks import enlarge, mask_iou

# Pixels whose losses are computed at once. On a CPU eight masks of 256 pixels: their ten
# intermediate maps stay in the cache, which makes 64 x 3 masks six times as fast as all at once.
CPU_PIXELS, GPU_PIXELS = 2**19, 2**27


def focal_loss(
    mask_logits: Float[Tensor, "*batch H W"],
    gt_masks: Bool[Tensor, "*#batch H W"],
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Float[Tensor, "*batch"]:
    """The mean focal loss of each mask's pixels (Lin et al. 2017; constants as in SAM 2)."""
    target = gt_masks.to(mask_logits.dtype)
    weight = alpha * target + (1 - alpha) * (1 - target)
    wrong = (1 - 2 * target) * mask_logits  # the logit of 1 - p_t
    return (weight * wrong.sigmoid().pow(gamma) * F.softplus(wrong)).mean((-2, -1))


def dice_loss(
    mask_logits: Float[Tensor, "*batch H W"], gt_masks: Bool[Tensor, "*#batch H W"]
) -> Float[Tensor, "*batch"]:
    """One minus the soft Dice overlap of each mask.

    One pixel is added above and below the fraction, so an empty prediction of an empty mask
    costs nothing and no division is by zero.
    """
    prob, target = mask_logits.sigmoid(), gt_masks.to(mask_logits.dtype)
    overlap = 2 * (prob * target).sum((-2, -1))
    area = prob.sum((-2, -1)) + target.sum((-2, -1))
    return 1 - (overlap + 1) / (area + 1)


class MaskLoss(nn.Module):
    """The weighted losses of one round, one value for each object.

    Only the candidate with the lowest mask loss is trained (SAM, section 3). Left open by the
    paper and chosen here: the IoU loss does not take part in that ranking (as in SAM 2), the
    padding counts as background (EdgeSAM leaves it out), and the IoU head learns from that
    candidate (`iou_loss_on: best`) or from all (`all`, as in SAM 2's code; better at small
    scale, where choosing among the candidates loses most).
    """

    def __init__(
        self,
        *,
        focal_weight: float = 20.0,
        dice_weight: float = 1.0,
        iou_weight: float = 1.0,
        iou_loss_on: str = "best",
    ) -> None:
        super().__init__()
        if iou_loss_on not in ("best", "all"):
            raise ValueError(f"iou_loss_on is {iou_loss_on!r}; it must be 'best' or 'all'")
        weights = {"focal": focal_weight, "dice": dice_weight, "iou": iou_weight}
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(
                    f"loss.{name}_weight is {weight}; it must be 0 or more, and finite"
                )
        if not focal_weight + dice_weight:
            raise ValueError(
                "loss.focal_weight and loss.dice_weight are both 0, so that no mask would be "
                "learned: make one of them positive"
            )
        self.focal_weight = focal_weight
        self.dice_weight = dice_weight
        self.iou_weight = iou_weight
        self.iou_loss_on = iou_loss_on

    def forward(
        self,
        mask_logits: Float[Tensor, "N M h w"],
        iou_pred: Float[Tensor, "N M"],
        gt_masks: Bool[Tensor, "N H W"],
        candidates: Bool[Tensor, "N M"],
    ) -> dict[str, Float[Tensor, " N"]]:
        """The losses `focal`, `dice`, `iou` and their weighted sum `loss` of each object.

        The grid of `gt_masks` is the resolution of the loss; logits are enlarged to it.
        Masks that are not `candidates` for their prompt take no part. `loss` has gradients.
        """
        mask_losses, iou = self._compare(mask_logits.detach(), gt_masks)
        best = mask_losses.masked_fill(~candidates, torch.inf).argmin(1, keepdim=True)
        mask_loss, focal, dice = LossOfBest.apply(
            take_candidate(mask_logits, best), gt_masks, self.focal_weight, self.dice_weight
        )
        iou_error = (iou_pred - iou).square()
        if self.iou_loss_on == "best":
            iou_error = iou_error.gather(1, best)[:, 0]
        else:
            iou_error = (iou_error * candidates).sum(1) / candidates.sum(1)
        total = mask_loss + self.iou_weight * iou_error
        return {"loss": total, "focal": focal, "dice": dice, "iou": iou_error}

    @torch.no_grad()
    def _compare(
        self, mask_logits: Float[Tensor, "N M h w"], gt_masks: Bool[Tensor, "N H W"]
    ) -> tuple[Float[Tensor, "N M"], Float[Tensor, "N M"]]:
        """The mask loss of each candidate (0 where there is no choice) and its IoU."""
        mask_losses, ious = [], []
        for logits, masks in in_chunks(mask_logits, gt_masks):
            logits = enlarge(logits, masks)
            masks = masks[:, None]  # (n, 1, H, W)
            ious.append(mask_iou(logits > 0, masks))
            mask_losses.append(torch.zeros_like(ious[-1]))
            if logits.shape[1] > 1:
                focal, dice = focal_loss(logits, masks), dice_loss(logits, masks)
                mask_losses[-1] = self.focal_weight * focal + self.dice_weight * dice
        return torch.cat(mask_losses), torch.cat(ious)


class LossOfBest(torch.autograd.Function):
    """The weighted focal and Dice loss of one mask for each object, and both without weights.

    Each chunk is differentiated as soon as its loss is known, while its maps are in the cache;
    what is kept for backward is the gradient on the logits before they are enlarged.
    """

    @staticmethod
    def forward(
        ctx: Any,
        mask_logits: Float[Tensor, "N 1 h w"],
        gt_masks: Bool[Tensor, "N H W"],
        focal_weight: float,
        dice_weight: float,
    ) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"], Float[Tensor, " N"]]:
        losses: list[Tensor] = []
        gradients: list[Tensor] = []
        for logits, masks in in_chunks(mask_logits, gt_masks):
            with torch.enable_grad():
                logits = logits.detach().requires_grad_()
                large = enlarge(logits, masks)[:, 0]
                focal, dice = focal_loss(large, masks), dice_loss(large, masks)
                loss = focal_weight * focal + dice_weight * dice
                if ctx.needs_input_grad[0]:
                    gradients += torch.autograd.grad(loss.sum(), logits)
            losses.append(torch.stack([loss, focal, dice]).detach())
        if gradients:
            ctx.save_for_backward(torch.cat(gradients))
        loss, focal, dice = torch.cat(losses, dim=1)
        ctx.mark_non_differentiable(focal, dice)
        return loss, focal, dice

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, None, None, None]:
        (gradients,) = ctx.saved_tensors
        return grad[:, None, None, None] * gradients, None, None, None


def take_candidate(
    mask_logits: Float[Tensor, "N M h w"], chosen: Int[Tensor, "N 1"]
) -> Float[Tensor, "N 1 h w"]:
    """The chosen candidate of each object; `index_select` is five times as fast as indexing."""
    if mask_logits.shape[1] == 1:
        return mask_logits
    first = mask_logits.shape[1] * torch.arange(len(chosen), device=chosen.device)
    return mask_logits.flatten(0, 1).index_select(0, first + chosen[:, 0])[:, None]


def in_chunks(
    mask_logits: Float[Tensor, "N M h w"], gt_masks: Bool[Tensor, "N H W"]
) -> Iterator[tuple[Float[Tensor, "n M h w"], Bool[Tensor, "n H W"]]]:
    """Objects whose enlarged logits are about `CPU_PIXELS` or `GPU_PIXELS`, at least one."""
    pixels = CPU_PIXELS if mask_logits.device.type == "cpu" else GPU_PIXELS
    size = max(1, pixels // (mask_logits.shape[1] * gt_masks.shape[-2:].numel()))
    yield from zip(mask_logits.split(size), gt_masks.split(size), strict=True)
