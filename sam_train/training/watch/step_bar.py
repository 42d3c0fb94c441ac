"""How far a run is."""

import logging
import sys
import time
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

from sam_train.run_progress import ProgressFile

logger = logging.getLogger(__name__)


class StepBar(Callback):
    """A bar of all steps of a run with the newest losses, IoUs and speed beside it.

    Lightning's own counts epochs, which an endless stream has not. Where nobody watches, as in
    the log of a job, it is a line every `log_minutes`. tools.status reads `progress.json`.
    """

    def __init__(self, *, log_minutes: float = 1.0) -> None:
        self.log_minutes = log_minutes
        self._bar: Tqdm | None = None
        self._file: ProgressFile | None = None
        self._told_at = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._told_at = time.monotonic()
        if trainer.is_global_zero:
            self._file = ProgressFile(Path(trainer.default_root_dir), unit="steps")
            self._file.show(trainer.global_step, trainer.max_steps)
        if trainer.is_global_zero and sys.stderr.isatty():
            self._bar = Tqdm(
                total=trainer.max_steps,
                initial=trainer.global_step,
                unit="step",
                dynamic_ncols=True,
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._file is not None:
            self._file.show(trainer.global_step, trainer.max_steps)
        if self._bar is not None:
            self._bar.set_postfix_str(shown_values(trainer), refresh=False)
            self._bar.update(trainer.global_step - self._bar.n)
        elif trainer.is_global_zero and self._is_due():
            self._told_at = time.monotonic()
            step = f"step {trainer.global_step} of {trainer.max_steps}"
            logger.info(f"{step}: {shown_values(trainer)}")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Also after an error, whose sentence then has a line of its own."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _is_due(self) -> bool:
        return time.monotonic() - self._told_at > 60 * self.log_minutes


def shown_values(trainer: Trainer) -> str:
    """What was logged for the bar; `train/` and `speed/` are left out of the names."""
    values = {
        name.removeprefix("train/").removeprefix("speed/"): value
        for name, value in trainer.progress_bar_metrics.items()
        if isinstance(value, float)
    }
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items())
