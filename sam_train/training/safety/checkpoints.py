"""Checkpoints from which a run goes on exactly where it was; a torn one is never used."""

import logging
import signal
import time
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from sam_train.data.store.durable import file_sha256, rename_durably
from sam_train.training.safety.stop_signals import StopSignals
from sam_train.training.scale.ranks import sum_over_ranks

logger = logging.getLogger(__name__)


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


def checkpoint_folder(output_dir: Path) -> Path:
    return output_dir / "checkpoints"


def sealed(folder: Path) -> list[Path]:
    """The checkpoints that got their name, the newest first."""
    return sorted(folder.glob("step-*.ckpt"), reverse=True)


def seal(partial: Path, *, step: int) -> Path:
    """Gives a written file the name of its step and its content."""
    path = partial.with_name(f"step-{step:09d}-{file_sha256(partial)[:16]}.ckpt")
    rename_durably(partial, path)
    return path


def newest_checkpoint(output_dir: Path) -> Path | None:
    """The newest whole checkpoint of a run, None if there is none at all.

    Raises ValueError where all are damaged: the run would begin anew without a word.
    """
    damaged: list[Path] = []
    for path in sealed(checkpoint_folder(output_dir)):
        if file_sha256(path).startswith(path.stem.rpartition("-")[2]):
            for other in damaged:
                logger.warning(
                    f"{other} is damaged (its content does not have the hash of its name): "
                    f"the run goes on from {path.name}"
                )
            return path
        damaged.append(path)
    if damaged:
        raise ValueError(
            f"no checkpoint in {checkpoint_folder(output_dir)} is whole: remove that folder to "
            f"begin anew, or put a good copy of {damaged[0].name} back"
        )
    return None
