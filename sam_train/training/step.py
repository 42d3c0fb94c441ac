"""One optimiser step, made on all ranks or on none: what every training here shares."""

import math
from typing import Any, cast

import torch
from jaxtyping import Float
from lightning import LightningModule
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from sam_train.data.stream.collate import Batch
from sam_train.interaction.draws import mix_seeds
from sam_train.modeling.sam import Sam
from sam_train.modeling.weights.loading import first_difference
from sam_train.training.optim import Optimization, Progress
from sam_train.training.scale.ranks import (
    average_gradients,
    gradient_norm,
    scale_gradients,
    sum_over_ranks,
)
from sam_train.training.scale.sharding import shard_encoder


class StepModule(LightningModule):
    """A model that is trained; a subclass says in `learn` what from.

    A step whose loss or gradient is not finite changes nothing, on any rank. Dropout and drop
    path draw from `seed`, the step and the rank alone.
    """

    def __init__(self, sam: Sam, *, optimization: Optimization, seed: int = 0) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.sam = sam
        self.optimization = optimization
        self.seed = seed
        self.register_buffer("images_seen", torch.zeros((), dtype=torch.int64))

    def learn(self, batch: Batch, step: int) -> tuple[dict[str, float], dict[str, Any]]:
        """Adds the gradients of a batch to those of the parameters.

        Returns the means over all ranks that are logged, `train/loss` among them, and what the
        callbacks get.
        """
        raise NotImplementedError

    def learn_mean(self, losses: Float[Tensor, " B"]) -> float:
        """Differentiates the mean of the losses of all ranks' images, and returns it."""
        total, images, ranks = sum_over_ranks(
            [losses.sum().item(), float(len(losses)), 1.0], self.device
        )
        (losses.sum() * ranks / images).backward()  # gradients are averaged over the ranks
        return total / images

    @property
    def learner(self) -> nn.Module:
        """What is optimised: it has an `image_encoder`, and any other parts."""
        return self.sam

    def configure_model(self) -> None:
        """Shards the encoder where the strategy is FSDP2."""
        if isinstance(self.trainer.strategy, ModelParallelStrategy):
            shard_encoder(self.sam, self.trainer.strategy.device_mesh)

    def configure_optimizers(self) -> Optimizer:
        return self.optimization.build(self.learner)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses the checkpoint of another model before anything of it is loaded."""
        weights = checkpoint.get("state_dict")
        difference = weights and first_difference(self.state_dict(), weights)
        if difference:
            raise ValueError(
                f"the checkpoint in this run's folder is of another model ({difference}): give "
                f"the model that the run began with, or another output_dir"
            )

    def on_train_start(self) -> None:
        """Switches off DDP's own averaging, which expects one backward per step."""
        model = self.trainer.strategy.model
        if isinstance(model, DistributedDataParallel):
            model.require_backward_grad_sync = False

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """One optimiser step; what `learn` found goes to the callbacks."""
        step = self.global_step
        torch.manual_seed(step_seed(self.seed, step, self.global_rank))
        optimizer = cast(Optimizer, self.optimizers())
        progress = Progress(step, int(self.images_seen), self.trainer.max_steps)
        self.log("train/lr", self.optimization.set_lr(optimizer, progress))
        optimizer.zero_grad()
        buffers = [buffer.clone() for buffer in self.sam.buffers()]  # statistics of batch norms

        means, found = self.learn(batch, step)
        is_finite = self._prepare_gradients() and math.isfinite(means["train/loss"])
        if is_finite:
            self._log(means)
        else:
            optimizer.zero_grad()
            for buffer, before in zip(self.sam.buffers(), buffers, strict=True):
                buffer.copy_(before)
        optimizer.step()  # without gradients it only counts the step
        self.images_seen += len(batch["images"]) * self.trainer.world_size
        return found | {"is_finite": is_finite}

    def _prepare_gradients(self) -> bool:
        """Averages gradients over the ranks and clips them; whether they are finite."""
        parameters = [p for p in self.learner.parameters() if p.requires_grad]
        average_gradients(parameters)
        norm = gradient_norm(parameters).item()
        clip = self.optimization.gradient_clip
        if clip and norm > clip:
            scale_gradients(parameters, clip / norm)
        self.log("train/gradient_norm", norm)
        return math.isfinite(norm)

    def _log(self, means: dict[str, float]) -> None:
        shown = ("train/loss", "train/iou_at_1", "train/iou_at_3")
        for name, mean in means.items():
            self.log(name, mean, prog_bar=name in shown)


def step_seed(seed: int, step: int, rank: int) -> int:
    """Seeds dropout and drop path: an interrupted run draws what it would have drawn."""
    return int(mix_seeds(mix_seeds(torch.tensor([seed]), step), rank))
