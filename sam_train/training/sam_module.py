"""What one training step of SAM is: one image encoding, then rounds of prompts and corrections."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sam_train.data.stream.collate import Batch
from sam_train.interaction.annotator import TrainingAnnotator
from sam_train.interaction.draws import mix_seeds
from sam_train.interaction.prompts import Prompts
from sam_train.modeling.sam import Sam
from sam_train.training.affinity import affinity_losses
from sam_train.training.losses import MaskLoss
from sam_train.training.optim import Optimization
from sam_train.training.rounds import (
    ObjectLosses,
    RoundRules,
    mask_sizes,
    mean_over_ranks,
    play_round,
)
from sam_train.training.scale.passes import Passes, saved_bytes, take_objects
from sam_train.training.scale.ranks import sum_over_ranks
from sam_train.training.step import StepModule


class SamModule(StepModule):
    """SAM with its interactive training step (SAM, App. A).

    Each round of a few objects is differentiated as soon as it is done; the gradients on the
    image embedding are added up and go through the image encoder once. So memory grows neither
    with the rounds nor with the masks (`passes`). Losses are divided by the number of objects
    of all ranks, so it does not matter on which rank an image falls.

    `affinity_weight` is that of `affinity_loss` beside the mask losses, for encoders that give
    affinity features.
    """

    def __init__(
        self,
        sam: Sam,
        *,
        annotator: TrainingAnnotator,
        loss: MaskLoss,
        optimization: Optimization,
        rules: RoundRules | None = None,
        passes: Passes | None = None,
        affinity_weight: float = 0.3,
        seed: int = 0,
    ) -> None:
        super().__init__(sam, optimization=optimization, seed=seed)
        self.annotator = annotator
        self.loss = loss
        self.rules = rules or RoundRules()
        self.passes = passes or Passes()
        self.affinity_weight = affinity_weight
        self._per_call = self.passes.objects_per_call

    def learn(self, batch: Batch, step: int) -> tuple[dict[str, float], dict[str, Any]]:
        """Plays the rounds; the masks of the last one go to the callbacks."""
        rounds, pred_masks = self.interact(batch, step)
        means = mean_over_ranks(rounds, self.device)
        empty_share = means[f"train/empty_at_{len(rounds)}"]
        return means, {"pred_masks": pred_masks, "empty_share": empty_share}

    def interact(
        self, batch: Batch, step: int = 0
    ) -> tuple[list[ObjectLosses], Bool[Tensor, "N h w"]]:
        """Plays and differentiates all rounds, as many images and objects at once as fit.

        Returns the losses of each object in each round, and the low-resolution masks of the last.
        """
        objects, ranks = sum_over_ranks([float(len(batch["image_index"])), 1.0], self.device)
        played = []
        for part in self.passes.images(batch):
            image_embeddings = self.sam.encode(part["images"], part["input_sizes"])
            # In float, because the gradients of many rounds and objects add up here.
            shared = image_embeddings.detach().float()
            shared.requires_grad_(image_embeddings.requires_grad)
            for some in self.passes.objects(part, self._objects_at_once(shared, part)):
                played.append(self._play(shared, some, step, mean_objects=objects / ranks))
            if image_embeddings.requires_grad:  # the encoder is not frozen
                self._learn_affinity(shared, part, step, images=len(batch["images"]))
                image_embeddings.backward(shared.grad.to(image_embeddings.dtype))
        rounds = [
            {name: torch.cat([losses[name] for losses in same]) for name in same[0]}
            for same in zip(*(losses for losses, _ in played), strict=True)
        ]
        return rounds, torch.cat([masks for _, masks in played])

    def _play(
        self, shared: Tensor, batch: Batch, step: int, *, mean_objects: float
    ) -> tuple[list[ObjectLosses], Bool[Tensor, "N h w"]]:
        """All rounds of some objects; each is differentiated as soon as it is done."""
        plan = self.annotator.plan(step)
        prompts, low_res_logits, rounds, kept = None, None, [], []
        for new_point, weight in zip(plan, self.rules.weights(len(plan)), strict=True):
            annotate = self._annotator_of(batch, step)
            prompts = annotate(prompts, low_res_logits, new_point=new_point)
            batch = self.with_targets(batch, prompts)
            with torch.set_grad_enabled(weight > 0):
                low_res_logits, losses = self.play_round(shared, prompts, batch)
            if weight > 0:
                kept.append(weight * losses["loss"].sum() / mean_objects)
            else:
                torch.clear_autocast_cache()  # its casts of the weights carry no gradient
            if self.rules.detach_feedback:
                if kept:
                    kept.pop().backward()
                low_res_logits = low_res_logits.detach()
            rounds.append({name: value.detach() for name, value in losses.items()})
        if kept:
            torch.stack(kept).sum().backward()
        return rounds, low_res_logits > 0

    def with_targets(self, batch: Batch, prompts: Prompts) -> Batch:
        """The batch with the masks that a round's answers are compared with: here its own."""
        return batch

    def _annotator_of(self, batch: Batch, step: int = 0) -> Callable[..., Prompts]:
        """The annotator with the objects of a batch before it."""
        return partial(
            self.annotator,
            gt_masks=batch["gt_masks"],
            seeds=mix_seeds(batch["object_seeds"], step),
            sizes=mask_sizes(batch, self.sam.image_size),
            image_size=self.sam.image_size,
        )

    def play_round(
        self, image_embeddings: Tensor, prompts: Prompts, batch: Batch
    ) -> tuple[Float[Tensor, "N h w"], ObjectLosses]:
        """The logits that the annotator sees, and what this round says about each object."""
        return play_round(
            self.sam,
            image_embeddings,
            prompts,
            batch,
            loss=self.loss,
            ambiguous=self.rules.ambiguous,
        )

    def _objects_at_once(self, shared: Tensor, batch: Batch) -> int | None:
        """What `passes` allows; a budget is turned into a number at the first batch."""

        def graph_bytes(count: int) -> int:
            some = take_objects(batch, torch.zeros(count, dtype=torch.long, device=self.device))
            prompts = self._annotator_of(some)(None, None, new_point=True)
            side = self.sam.prompt_encoder.mask_input_size
            prompts = prompts.with_masks(torch.zeros(count, 1, *side, device=self.device))
            return saved_bytes(lambda: self.play_round(shared, prompts, some))

        if self._per_call is None and self.passes.decoder_memory_gib is not None:
            with torch.random.fork_rng():
                self._per_call = self.passes.choose_objects_per_call(graph_bytes)
        return self._per_call

    def _learn_affinity(self, shared: Tensor, batch: Batch, step: int, *, images: int) -> None:
        """Adds the gradient of the affinity loss to that of embeddings with affinity features.

        The loss is the mean over all `images` of a step, of which these are some.
        """
        affinity = self.sam.prompt_encoder.affinity(shared)
        if not (affinity.shape[1] and self.affinity_weight):
            return
        losses = affinity_losses(affinity, batch, image_size=self.sam.image_size, step=step)
        loss = losses.sum() / images
        if self._trainer is not None:
            self.log("train/affinity", loss.detach(), reduce_fx="sum")
        (self.affinity_weight * loss).backward()
