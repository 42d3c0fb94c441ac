"""What one training step of SAM is: one image encoding, then rounds of prompts and corrections."""

from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from lightning import LightningModule
from torch import Tensor
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from sam_train.data.stream.collate import Batch
from sam_train.interaction.annotator import TrainingAnnotator, inside_image
from sam_train.interaction.draws import mix_seeds
from sam_train.interaction.prompts import Prompts
from sam_train.modeling.sam import Sam
from sam_train.training.losses import MaskLoss, mask_iou
from sam_train.training.optim import Optimization, Progress
from sam_train.training.ranks import average_gradients


class SamModule(LightningModule):
    """SAM with its interactive training step (SAM, App. A).

    Each round is differentiated as soon as it is done; its gradient on the image embedding is
    added up and goes through the image encoder once. So memory does not grow with the rounds.

    What the paper leaves open: `sum_rounds` adds the losses of the rounds (SAM 2) instead of
    taking their mean (EdgeSAM, micro-sam). `box_is_ambiguous` answers a lone box with three
    masks (App. D.4 picks "the most confident mask" for a box) instead of one (SAM 2).
    `detach_feedback` off lets gradients flow through the mask prompt into the round before
    (SAM 2), which keeps the graphs of all rounds.
    """

    def __init__(
        self,
        sam: Sam,
        *,
        annotator: TrainingAnnotator,
        loss: MaskLoss,
        optimization: Optimization,
        sum_rounds: bool = False,
        box_is_ambiguous: bool = True,
        detach_feedback: bool = True,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.sam = sam
        self.annotator = annotator
        self.loss = loss
        self.optimization = optimization
        self.sum_rounds = sum_rounds
        self.box_is_ambiguous = box_is_ambiguous
        self.detach_feedback = detach_feedback
        self.register_buffer("images_seen", torch.zeros((), dtype=torch.int64))

    def configure_optimizers(self) -> Optimizer:
        return self.optimization.build(self.sam)

    def on_train_start(self) -> None:
        """Switches off DDP's own averaging, which expects one backward per step."""
        model = self.trainer.strategy.model
        if isinstance(model, DistributedDataParallel):
            model.require_backward_grad_sync = False

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """One optimiser step; the masks of the last round go to the callbacks."""
        optimizer = cast(Optimizer, self.optimizers())
        progress = Progress(self.global_step, int(self.images_seen), self.trainer.max_steps)
        self.log("train/lr", self.optimization.set_lr(optimizer, progress))
        optimizer.zero_grad()
        rounds, pred_masks = self.interact(batch)
        average_gradients(list(self.sam.parameters()))
        if clip := self.optimization.gradient_clip:
            norm = torch.nn.utils.clip_grad_norm_(self.sam.parameters(), clip)
            self.log("train/gradient_norm", norm)
        optimizer.step()
        self.images_seen += len(batch["images"]) * self.trainer.world_size
        self._log_rounds(rounds, batch)
        return {"pred_masks": pred_masks, "empty_share": rounds[-1]["empty_at"].mean().item()}

    def interact(
        self, batch: Batch
    ) -> tuple[list[dict[str, Float[Tensor, " N"]]], Bool[Tensor, "N h w"]]:
        """Plays and differentiates all rounds.

        Returns the losses of each object in each round, and the low-resolution masks of the last.
        """
        image_embeddings = self.sam.encode(batch["images"], batch["input_sizes"])
        shared = image_embeddings.detach().requires_grad_()
        annotate = partial(
            self.annotator,
            gt_masks=batch["gt_masks"],
            seeds=mix_seeds(batch["object_seeds"], self.global_step),
            sizes=self._mask_sizes(batch),
            image_size=self.sam.image_size,
        )
        plan = self.annotator.plan(self.global_step)
        weight = 1.0 if self.sum_rounds else 1 / len(plan)
        prompts, low_res_logits, rounds, kept = None, None, [], []
        for new_point in plan:
            prompts = annotate(prompts, low_res_logits, new_point=new_point)
            low_res_logits, losses = self.play_round(shared, prompts, batch)
            loss = weight * losses["loss"].mean()
            if self.detach_feedback:
                loss.backward()
                low_res_logits = low_res_logits.detach()
            else:
                kept.append(loss)
            rounds.append({name: value.detach() for name, value in losses.items()})
        if kept:
            torch.stack(kept).sum().backward()
        image_embeddings.backward(shared.grad)
        return rounds, low_res_logits > 0

    def play_round(
        self, image_embeddings: Tensor, prompts: Prompts, batch: Batch
    ) -> tuple[Float[Tensor, "N h w"], dict[str, Float[Tensor, " N"]]]:
        """The logits that the annotator sees (the highest predicted IoU) and the losses."""
        low_res_logits, iou_pred = self.sam.decode(image_embeddings, prompts, batch["image_index"])
        low_res_logits, iou_pred = low_res_logits.float(), iou_pred.float()
        candidates = prompts.candidates(box_is_ambiguous=self.box_is_ambiguous)  # (N, 4)
        if len(candidates.unique(dim=0)) == 1:  # nothing is computed for masks that nobody gets
            low_res_logits, iou_pred = low_res_logits[:, candidates[0]], iou_pred[:, candidates[0]]
            candidates = candidates[:, candidates[0]]
        losses = self.loss(low_res_logits, iou_pred, batch["gt_masks"], candidates)
        best_iou_pred, chosen = iou_pred.masked_fill(~candidates, -torch.inf).max(1)
        best = low_res_logits[torch.arange(len(chosen), device=chosen.device), chosen]
        return best, losses | self._measure(best, best_iou_pred, batch)

    @torch.no_grad()
    def _measure(
        self, logits: Tensor, iou_pred: Tensor, batch: Batch
    ) -> dict[str, Float[Tensor, " N"]]:
        """IoU, error of the predicted IoU and emptiness of the masks that the annotator sees."""
        grid = batch["gt_masks"].shape[-2:]
        if logits.shape[-2:] != grid:
            logits = F.interpolate(logits[:, None], grid, mode="bilinear")[:, 0]
        pred_masks = (logits > 0) & inside_image(self._mask_sizes(batch), (grid[0], grid[1]))
        iou = mask_iou(pred_masks, batch["gt_masks"])
        empty = ~pred_masks.flatten(1).any(1)
        return {"iou_at": iou, "iou_error_at": (iou_pred - iou).abs(), "empty_at": empty.float()}

    def _mask_sizes(self, batch: Batch) -> Tensor:
        """The (H, W) of each object's image within the grid of the masks."""
        sizes = batch["input_sizes"][batch["image_index"]] * batch["gt_masks"].shape[-1]
        return (sizes / self.sam.image_size).round().long().clamp(min=1)

    def _log_rounds(self, rounds: list[dict[str, Tensor]], batch: Batch) -> None:
        """Losses as means over the rounds; what the annotator sees, round by round."""
        for name in ("loss", "focal", "dice", "iou"):
            mean = torch.stack([losses[name].mean() for losses in rounds]).mean()
            self.log(f"train/{name}", mean, prog_bar=name == "loss")
        for number, losses in enumerate(rounds, start=1):
            for name in ("iou_at", "iou_error_at", "empty_at"):
                is_shown = name == "iou_at" and number in (1, 3)
                self.log(f"train/{name}_{number}", losses[name].mean(), prog_bar=is_shown)
        self.log("train/objects", float(len(batch["image_index"])))
