"""Checkpoints from which a run goes on exactly where it was; a torn one is never used."""

import signal
import time
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from sam_train.training.safety.sealed_files import checkpoint_folder, seal, sealed
from sam_train.training.safety.stop_signals import StopSignals
from sam_train.training.scale.ranks import sum_over_ranks


class Checkpoints(Checkpoint):
    """Saves the run every so many minutes or steps, and before it stops for a signal.

    A file gets its name, in which the hash of its content stands, when all of it is on the disk;
    the newest `keep` remain. All ranks save at the same step, whoever was asked to stop.
    """

    def __init__(
        self, *, minutes: float | None = 5.0, every_n_steps: int | None = None, keep: int = 2
    ) -> None:
        if keep < 1:
            raise ValueError(f"checkpoints.keep is {keep}; at least 1 is needed to go on")
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(f"checkpoints.every_n_steps is {every_n_steps}; it must be at least 1")
        self.minutes = minutes
        self.every_n_steps = every_n_steps
        self.keep = keep
        self.stop = StopSignals()
        self.origin: dict[str, Any] = {}  # the config and its hash
        self._saved_at = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the signals from Lightning, which on one rank alone would wait for the others."""
        self.stop.catch()
        self._saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        stops, dues = sum_over_ranks(
            [float(bool(self.stop.received)), float(self._is_due(trainer))], pl_module.device
        )
        if stops or dues:
            self.save(trainer)
        if stops:
            self.stop.received = self.stop.received or signal.SIGTERM
            trainer.should_stop = True

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["origin"] = self.origin

    def save(self, trainer: Trainer) -> None:
        """Writes a checkpoint of this step; every rank has to take part."""
        folder = checkpoint_folder(Path(trainer.default_root_dir))
        partial = folder / "checkpoint.partial"
        if trainer.is_global_zero:
            folder.mkdir(parents=True, exist_ok=True)
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            seal(partial, step=trainer.global_step)
            for path in sealed(folder)[self.keep :]:
                path.unlink()
        self._saved_at = time.monotonic()

    def _is_due(self, trainer: Trainer) -> bool:
        waited = time.monotonic() - self._saved_at
        by_time = self.minutes is not None and waited > 60 * self.minutes
        by_step = self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0
        return by_time or by_step
