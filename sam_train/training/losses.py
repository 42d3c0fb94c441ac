"""The losses of SAM's training (App. A): focal and Dice on the best candidate, MSE on its IoU."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


def focal_loss(
    mask_logits: Float[Tensor, "*batch H W"],
    gt_masks: Bool[Tensor, "*batch H W"],
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Float[Tensor, "*batch"]:
    """The mean focal loss of each mask's pixels (Lin et al. 2017; constants as in SAM 2)."""
    target = gt_masks.to(mask_logits.dtype)
    cross_entropy = F.binary_cross_entropy_with_logits(mask_logits, target, reduction="none")
    miss = (mask_logits.sigmoid() - target).abs()  # 1 - p_t
    weight = alpha * target + (1 - alpha) * (1 - target)
    return (weight * miss.pow(gamma) * cross_entropy).mean((-2, -1))


def dice_loss(
    mask_logits: Float[Tensor, "*batch H W"], gt_masks: Bool[Tensor, "*batch H W"]
) -> Float[Tensor, "*batch"]:
    """One minus the soft Dice overlap of each mask.

    One pixel is added above and below the fraction, so an empty prediction of an empty mask
    costs nothing and no division is by zero.
    """
    prob, target = mask_logits.sigmoid(), gt_masks.to(mask_logits.dtype)
    overlap = 2 * (prob * target).sum((-2, -1))
    area = prob.sum((-2, -1)) + target.sum((-2, -1))
    return 1 - (overlap + 1) / (area + 1)


def mask_iou(
    pred_masks: Bool[Tensor, "*batch H W"], gt_masks: Bool[Tensor, "*batch H W"]
) -> Float[Tensor, "*batch"]:
    """Intersection over union; two empty masks have 0."""
    intersection = (pred_masks & gt_masks).sum((-2, -1))
    union = (pred_masks | gt_masks).sum((-2, -1))
    return intersection / union.clamp(min=1)


class MaskLoss(nn.Module):
    """The weighted losses of one round, one value for each object.

    Only the candidate with the lowest mask loss is trained (SAM, section 3). Left open by the
    paper and chosen here: the IoU loss does not take part in that ranking (as in SAM 2), and
    the IoU head learns from that candidate (`iou_loss_on: best`) or from all (`all`, as in
    SAM 2's code; better at small scale, where choosing among the candidates loses most).
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
        Masks that are not `candidates` for their prompt take no part.
        """
        if mask_logits.shape[-2:] != gt_masks.shape[-2:]:
            mask_logits = F.interpolate(mask_logits, gt_masks.shape[-2:], mode="bilinear")
        gt_masks = gt_masks[:, None].expand_as(mask_logits)  # (N, M, H, W)

        focal = focal_loss(mask_logits, gt_masks)  # (N, M)
        dice = dice_loss(mask_logits, gt_masks)
        with torch.no_grad():
            iou = mask_iou(mask_logits > 0, gt_masks)
        iou_error = (iou_pred - iou).square()

        rank = self.focal_weight * focal + self.dice_weight * dice
        best = rank.masked_fill(~candidates, torch.inf).argmin(1, keepdim=True)
        focal, dice = (loss.gather(1, best)[:, 0] for loss in (focal, dice))
        if self.iou_loss_on == "best":
            iou_error = iou_error.gather(1, best)[:, 0]
        else:
            iou_error = (iou_error * candidates).sum(1) / candidates.sum(1)
        total = self.focal_weight * focal + self.dice_weight * dice + self.iou_weight * iou_error
        return {"loss": total, "focal": focal, "dice": dice, "iou": iou_error}
