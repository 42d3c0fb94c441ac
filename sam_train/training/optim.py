"""The optimiser, its groups of parameters, and the learning-rate schedules of the recipes."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

ENCODER = "image_encoder."


@dataclass(frozen=True)
class Progress:
    """How far a run is: optimiser steps and images done, and the steps that it will make."""

    steps: int
    images: int
    max_steps: int


@dataclass(frozen=True)
class StepSchedule:
    """Linear warm-up, then a factor `gamma` at each milestone; all counted in `unit`.

    SAM, App. A: 250 steps of warm-up, times 0.1 at 60,000 and 86,666 of 90,000 steps.
    """

    warmup: int
    milestones: tuple[int, ...]
    gamma: float = 0.1
    unit: Literal["steps", "images"] = "steps"

    def __call__(self, progress: Progress) -> float:
        done = getattr(progress, self.unit)
        return _warmup(done, self.warmup) * self.gamma ** sum(done >= m for m in self.milestones)


@dataclass(frozen=True)
class CosineSchedule:
    """Half a cosine from 1 to `final`, times a linear warm-up over the first `warmup` steps."""

    warmup: int
    final: float = 0.0

    def __call__(self, progress: Progress) -> float:
        share = min(progress.steps / max(progress.max_steps, 1), 1.0)
        cosine = self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * share))
        return _warmup(progress.steps, self.warmup) * cosine


@dataclass(frozen=True)
class Optimization:
    """An optimiser, how its learning rate runs, and what holds it back.

    `gradient_clip` is an l2 norm, 0 for none. The image encoder learns at `encoder_lr_scale`
    times the rate of the rest (SAM 2 takes a fifth when it trains on).
    """

    optimizer: Callable[[Iterable[Mapping[str, Any]]], Optimizer]
    schedule: Callable[[Progress], float]
    lr: float
    weight_decay: float
    layer_decay: float = 1.0
    gradient_clip: float = 0.0
    encoder_lr_scale: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"optim.lr is {self.lr}; it must be positive and finite")
        if not self.encoder_lr_scale > 0:
            raise ValueError(
                f"optim.encoder_lr_scale is {self.encoder_lr_scale}; it must be positive: "
                f"fit.adaptation.frozen=[image_encoder] holds the encoder fixed"
            )

    def build(self, model: nn.Module) -> Optimizer:
        """The optimiser of a model's groups by learning rate and weight decay.

        Layer-wise decay: layer i of n of the image encoder learns at lr * layer_decay^(n + 1 - i)
        (ViTDet, whose schedule SAM takes over). Biases and norms have no weight decay (SAM 2).
        """
        groups: dict[tuple[float, bool, bool], list[nn.Parameter]] = defaultdict(list)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                scale = self.layer_decay ** _layers_above(model, name)
                if name.startswith(ENCODER):
                    scale *= self.encoder_lr_scale
                # Sharded parameters are not updated in one call with whole ones.
                is_sharded = isinstance(parameter, DTensor)
                groups[scale, parameter.ndim > 1, is_sharded].append(parameter)
        if not groups:
            raise ValueError("no weight is left to train; take a part out of fit.adaptation.frozen")
        return self.optimizer(
            {
                "params": parameters,
                "max_lr": self.lr * scale,
                "weight_decay": self.weight_decay if decays else 0.0,
            }
            for (scale, decays, _), parameters in groups.items()
        )

    def scaled(self, factor: float) -> "Optimization":
        """The same at a multiple of the learning rate."""
        return replace(self, lr=self.lr * factor)

    def set_lr(self, optimizer: Optimizer, progress: Progress) -> float:
        """Sets the learning rates of the next step and returns the highest."""
        factor = self.schedule(progress)
        for group in optimizer.param_groups:
            group["lr"] = group["max_lr"] * factor
        return self.lr * factor


def _layers_above(model: nn.Module, name: str) -> int:
    """How many layers of the image encoder lie above a parameter; 0 outside the encoder."""
    if not name.startswith(ENCODER):
        return 0
    encoder = model.image_encoder
    return encoder.num_layers + 1 - encoder.layer_of(name.removeprefix(ENCODER))


def _warmup(done: int, warmup: int) -> float:
    return min((done + 1) / warmup, 1.0) if warmup else 1.0
