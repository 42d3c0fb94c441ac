"""The optimiser, its groups of parameters, and the learning-rate schedules of the recipes."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.optim import Optimizer

from sam_train.modeling.sam import Sam


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
    """Linear warm-up over `warmup` steps, then a half cosine down to `final` at the last step."""

    warmup: int
    final: float = 0.0

    def __call__(self, progress: Progress) -> float:
        share = min(progress.steps / max(progress.max_steps, 1), 1.0)
        cosine = self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * share))
        return _warmup(progress.steps, self.warmup) * cosine


@dataclass(frozen=True)
class Optimization:
    """An optimiser, how its learning rate runs, and what holds it back.

    `gradient_clip` is an l2 norm, 0 for none.
    """

    optimizer: Callable[[Iterable[Mapping[str, Any]]], Optimizer]
    schedule: Callable[[Progress], float]
    lr: float
    weight_decay: float
    layer_decay: float = 1.0
    gradient_clip: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"optim.lr is {self.lr}; it must be positive and finite")

    def build(self, sam: Sam) -> Optimizer:
        """The optimiser of a model's groups by learning rate and weight decay.

        Layer-wise decay: layer i of n of the image encoder learns at lr * layer_decay^(n + 1 - i)
        (ViTDet, whose schedule SAM takes over). Biases and norms have no weight decay (SAM 2).
        """
        groups: dict[tuple[float, bool], list[nn.Parameter]] = defaultdict(list)
        for name, parameter in sam.named_parameters():
            if parameter.requires_grad:
                scale = self.layer_decay ** _layers_above(sam, name)
                groups[scale, parameter.ndim > 1].append(parameter)
        return self.optimizer(
            {
                "params": parameters,
                "max_lr": self.lr * scale,
                "weight_decay": self.weight_decay if decays else 0.0,
            }
            for (scale, decays), parameters in groups.items()
        )

    def set_lr(self, optimizer: Optimizer, progress: Progress) -> float:
        """Sets the learning rates of the next step and returns the highest."""
        factor = self.schedule(progress)
        for group in optimizer.param_groups:
            group["lr"] = group["max_lr"] * factor
        return self.lr * factor


def _layers_above(sam: Sam, name: str) -> int:
    """How many layers of the image encoder lie above a parameter; 0 outside the encoder."""
    prefix = "image_encoder."
    if not name.startswith(prefix):
        return 0
    return sam.image_encoder.num_layers + 1 - sam.image_encoder.layer_of(name.removeprefix(prefix))


def _warmup(done: int, warmup: int) -> float:
    return min((done + 1) / warmup, 1.0) if warmup else 1.0
