"""Student and teacher answer the same prompts; clicks fall where they differ (EdgeSAM)."""

from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from sam_train.data.store.embeddings import EmbeddingCache
from sam_train.data.stream.collate import Batch
from sam_train.interaction.masks import enlarge, inside_image, sizes_on_grid
from sam_train.interaction.prompts import TOP_LEFT, Prompts
from sam_train.modeling.sam import Sam
from sam_train.training.distillation.encoder import check_student, check_views
from sam_train.training.losses import dice_loss
from sam_train.training.rounds import ObjectLosses, mask_sizes, measure
from sam_train.training.sam_module import SamModule


class TaughtBatch(Batch, total=False):
    """A batch with the teacher's answer; its `gt_masks` are those that the teacher prefers."""

    taught_masks: Bool[Tensor, "N 4 h w"]
    preferred: Int[Tensor, " N"]  # the candidate of the teacher's highest predicted IoU


class PromptDistillation(SamModule):
    """The rounds of `SamModule` with the masks of a teacher in place of known ones.

    First prompts come from known masks. Then both answer; the next click falls where the
    student's mask differs from the teacher's, in the candidate that the teacher prefers. All
    four candidates are learned, one by one, of a box the first alone. The IoU head learns
    nothing. `bce_weight` and `dice_weight` are 5 in EdgeSAM.
    """

    def __init__(
        self,
        sam: Sam,
        *,
        teacher: Sam,
        embeddings: EmbeddingCache,
        bce_weight: float = 5.0,
        dice_weight: float = 5.0,
        **settings: Any,
    ) -> None:
        super().__init__(sam, **settings)
        check_student(sam, teacher, embeddings)
        self._teacher = [teacher.eval().requires_grad_(False)]  # no part of the checkpoint
        self.embeddings = embeddings
        self.bce_weight = bce_weight
        self.dice_weight = dice_weight

    @property
    def teacher(self) -> Sam:
        return self._teacher[0].to(self.device)

    def on_train_start(self) -> None:
        super().on_train_start()
        check_views(self.trainer.datamodule)  # type: ignore[attr-defined]

    @torch.no_grad()
    def with_targets(self, batch: Batch, prompts: Prompts) -> TaughtBatch:
        """The batch with the teacher's answer to the prompts as its masks, cut to the image."""
        embeddings = self.embeddings.of(batch["keys"]).to(self.device, torch.float32)
        logits, iou_pred = self.teacher.decode(embeddings, prompts, batch["image_index"])
        learned = learned_candidates(prompts)
        preferred = iou_pred.float().masked_fill(~learned, -torch.inf).argmax(1)
        best = logits[torch.arange(len(logits), device=self.device), preferred]
        gt_masks = enlarge(best[:, None].float(), batch["gt_masks"])[:, 0] > 0
        sizes = mask_sizes(batch, self.sam.image_size)
        gt_masks &= inside_image(sizes, gt_masks.shape[-2:])
        taught: TaughtBatch = {
            **batch,
            "gt_masks": gt_masks,
            "taught_masks": logits > 0,
            "preferred": preferred,
        }
        return taught

    def play_round(
        self, image_embeddings: Tensor, prompts: Prompts, batch: Batch
    ) -> tuple[Float[Tensor, "N h w"], ObjectLosses]:
        """The student's logits of the preferred candidate, its losses and measures."""
        is_taught = "taught_masks" in batch  # not where only memory is measured
        taught = cast(TaughtBatch, batch) if is_taught else self.with_targets(batch, prompts)
        logits, iou_pred = self.sam.decode(image_embeddings, prompts, taught["image_index"])
        logits, iou_pred = logits.float(), iou_pred.float()
        sizes = sizes_on_grid(
            taught["input_sizes"][taught["image_index"]],
            image_size=self.sam.image_size,
            side=logits.shape[-1],
        )
        bce, dice = candidate_losses(
            logits,
            taught["taught_masks"],
            inside=inside_image(sizes, logits.shape[-2:]),
            learned=learned_candidates(prompts),
        )
        each = torch.arange(len(logits), device=self.device)
        seen, seen_iou = logits[each, taught["preferred"]], iou_pred[each, taught["preferred"]]
        measures = measure(seen, seen_iou, taught, sizes=mask_sizes(taught, self.sam.image_size))
        loss = self.bce_weight * bce + self.dice_weight * dice
        return seen, {"loss": loss, "bce": bce, "dice": dice} | measures


def learned_candidates(prompts: Prompts) -> Bool[Tensor, "N 4"]:
    """All four of an object that began with a point, the first of one that began with a box."""
    is_box = (prompts.point_labels == TOP_LEFT).any(1, keepdim=True)
    first = torch.tensor([True, False, False, False], device=is_box.device)
    return ~is_box | first


def candidate_losses(
    logits: Float[Tensor, "N M h w"],
    masks: Bool[Tensor, "N M h w"],
    *,
    inside: Bool[Tensor, "N h w"],
    learned: Bool[Tensor, "N M"],
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Binary cross-entropy and Dice loss within the image, means over the learned candidates."""
    inside = inside[:, None]  # (N, 1, h, w)
    pixels = F.binary_cross_entropy_with_logits(logits, masks.to(logits), reduction="none")
    bce = (pixels * inside).sum((2, 3)) / inside.sum((2, 3))
    outside = torch.finfo(logits.dtype).min
    dice = dice_loss(logits.masked_fill(~inside, outside), masks & inside)
    bce, dice = ((loss * learned).sum(1) / learned.sum(1) for loss in (bce, dice))
    return bce, dice
