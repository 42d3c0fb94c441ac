"""The data of a training run: one version of one dataset, as an endless stream of batches."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader

from sam_train.data.bad_samples import BadSampleLog
from sam_train.data.collate import collate
from sam_train.data.examples import ExampleMaker
from sam_train.data.manifest import Dataset, Manifest
from sam_train.data.pipeline import ShardFiles, training_pipeline
from sam_train.data.records import PHASES


class SamDataModule(LightningDataModule):
    """Streams a version of a dataset.

    The stream has no end: the trainer's `max_steps` or `limit_train_batches` says how much of it
    is used. `phase_weights` says how often images of a phase are seen beside others, 0 for never,
    and 1 for each phase that it does not name. Useless samples are listed in `bad_samples`.
    """

    def __init__(
        self,
        dataset: Path | str,
        version: int | Literal["latest"] = "latest",
        *,
        make_example: ExampleMaker,
        bad_samples: Path | str,
        batch_size: int,
        num_workers: int = 0,
        shuffle_buffer: int = 256,
        phase_weights: Mapping[str, float | int] | None = None,
    ) -> None:
        super().__init__()
        self.dataset = Dataset(Path(dataset))
        self.version = version
        self.make_example = make_example
        self.bad_samples = BadSampleLog(Path(bad_samples))
        self.batch_size = _at_least("batch_size", batch_size, 1)
        self.num_workers = _at_least("num_workers", num_workers, 0)
        self.shuffle_buffer = _at_least("shuffle_buffer", shuffle_buffer, 1)
        self.phase_weights = dict(phase_weights or {})

    def setup(self, stage: str | None = None) -> None:
        """Finds what cannot work before any step is made; pins the version."""
        self.manifest = self.dataset.read(self.version)
        self.dataset.verify(self.manifest)
        self.shards = choose_shards(self.dataset, self.manifest, self.phase_weights)

    def train_dataloader(self) -> DataLoader:
        """A run that resumes at a later step gets other draws than the ones it has seen."""
        rank, step = 0, 0
        if self.trainer is not None:
            rank, step = self.trainer.global_rank, self.trainer.global_step
        return DataLoader(
            training_pipeline(
                self.shards,
                self.make_example,
                shuffle_buffer=self.shuffle_buffer,
                on_bad=self.bad_samples,
                seed=(self.make_example.seed, rank, step),
            ),
            batch_size=self.batch_size,
            collate_fn=collate,
            num_workers=self.num_workers,
            multiprocessing_context="fork" if self.num_workers else None,
            persistent_workers=self.num_workers > 0,  # a new worker would start at epoch 0 again
            pin_memory=torch.cuda.is_available(),
        )


def choose_shards(
    dataset: Dataset, manifest: Manifest, phase_weights: Mapping[str, float | int]
) -> list[ShardFiles]:
    """The shards of a version that hold masks and are not weighted away."""
    unknown = phase_weights.keys() - set(PHASES)
    if unknown:
        raise ValueError(f"There is no phase {min(unknown)!r} to weight; phases: {list(PHASES)}.")
    shards = [
        ShardFiles(
            dataset.root / entry.images,
            dataset.root / entry.annotations if entry.annotations else None,
            float(phase_weights.get(entry.phase, 1)),
        )
        for entry in manifest.shards
        if entry.mask_count > 0 and phase_weights.get(entry.phase, 1) > 0
    ]
    if not shards:
        phases = sorted({entry.phase for entry in manifest.shards})
        raise ValueError(
            f"Version {manifest.version} of {dataset.root} has no masks to train on (phases "
            f"{phases}, weights {dict(phase_weights)}): annotate it first or change the weights."
        )
    return shards


def _at_least(name: str, value: int, least: int) -> int:
    if value < least:
        raise ValueError(f"`{name}` must be at least {least}, not {value}.")
    return value
