"""A step that was skipped, played again from what a rank left of it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device

from sam_train.data.stream.collate import Batch
from sam_train.data.stream.datamodule import SamDataModule
from sam_train.training.rounds import MEASURES, ObjectLosses
from sam_train.training.sam_module import SamModule
from sam_train.training.step import StepModule, step_seed


@dataclass(frozen=True)
class Replay:
    """What came of a step: the losses of each object in each round, if it has rounds; gradients."""

    given: dict[str, Any]
    batch: Batch
    rounds: list[ObjectLosses]
    gradients: dict[str, torch.Tensor]

    def round_losses(self) -> Iterator[str]:
        """The mean losses of each round."""
        for number, losses in enumerate(self.rounds, start=1):
            means = (f"{n} {losses[n].mean():.4f}" for n in losses if n not in MEASURES)
            yield f"round {number}: {', '.join(means)}"

    def broken_objects(self) -> Iterator[str]:
        """The first round in which the loss of an object was not finite."""
        for number in range(len(self.batch["image_index"])):
            for index, losses in enumerate(self.rounds, start=1):
                if not losses["loss"][number].isfinite():
                    key = self.batch["keys"][int(self.batch["image_index"][number])]
                    parts = {n: losses[n][number].item() for n in losses if n not in MEASURES}
                    yield f"object {number} of image {key}: round {index}, {parts}"
                    break

    def broken_gradients(self) -> list[str]:
        return [name for name, grad in self.gradients.items() if not grad.isfinite().all()]


def read_given(file: Path) -> dict[str, Any]:
    """What a rank was given; raises a ValueError for a file of something else."""
    try:
        given = json.loads(file.read_text())
        given["step"], given["rank"], given["keys"], given["positions"], given["weights"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file} is not what a skipped step leaves in a run's folder nonfinite/ ({error!r})"
        ) from error
    return given


def replay(file: Path, module: StepModule, data: SamDataModule, *, precision: str) -> Replay:
    """Plays the step on this rank's images with the weights that it had."""
    given = read_given(file)
    state = torch.load(
        file.with_name(given["weights"]), map_location=module.device, weights_only=True
    )
    module.load_state_dict(state["state_dict"])
    batch: Batch = move_data_to_device(batch_of(given, data), module.device)
    torch.manual_seed(step_seed(module.seed, given["step"], given["rank"]))
    is_mixed = precision.endswith("-mixed")
    dtype = torch.bfloat16 if precision.startswith("bf16") else torch.float16
    with torch.autocast(module.device.type, dtype=dtype, enabled=is_mixed):
        if isinstance(module, SamModule):
            rounds, _ = module.interact(batch, given["step"])
        else:  # nothing is prompted
            rounds = []
            module.learn(batch, given["step"])
    gradients = {n: p.grad for n, p in module.learner.named_parameters() if p.grad is not None}
    return Replay(given, batch, rounds, gradients)


def batch_of(given: dict[str, Any], data: SamDataModule) -> Batch:
    """The images at the positions of the stream that the rank had."""
    data.setup()
    batch = data.train_dataloader().images[range(*given["positions"])]
    if isinstance(batch, Exception):
        raise batch
    if batch["keys"] != given["keys"]:
        raise ValueError(
            f"the dataset gives images {', '.join(batch['keys'][:3])} and so on, but the step had "
            f"{', '.join(given['keys'][:3])}: give the dataset and the config of that run"
        )
    return batch
