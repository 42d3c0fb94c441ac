"""Steps whose loss or gradient is not finite: left for replay, and the end of a run if many."""

import json
import logging
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from sam_train.data.store.durable import durable_file
from sam_train.data.stream.collate import Batch

logger = logging.getLogger(__name__)


class NonFiniteSteps(Callback):
    """Every rank writes what it was given at a skipped step to `nonfinite/` in the run's folder.

    The weights lie beside it, once for skipped steps in a row, which do not change them.
    After `patience` steps in a row the run ends.
    """

    def __init__(self, *, patience: int = 10) -> None:
        if patience < 1:
            raise ValueError(f"nonfinite.patience is {patience}; it must be at least 1")
        self.patience = patience
        self.in_a_row = 0
        self._weights = ""

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        if outputs["is_finite"]:
            self.in_a_row = 0
            return
        self.in_a_row += 1
        step = trainer.global_step - 1
        folder = Path(trainer.default_root_dir) / "nonfinite"
        if self.in_a_row == 1:
            self._weights = f"step-{step:09d}.ckpt"
            folder.mkdir(parents=True, exist_ok=True)
            trainer.save_checkpoint(folder / self._weights, weights_only=True)
        file = folder / f"step-{step:09d}-rank-{trainer.global_rank}.json"
        with durable_file(file) as opened:
            opened.write(json.dumps(self._given(trainer, batch, step), indent=1).encode())
        logger.warning(
            f"step {step} is skipped on all ranks: its loss or gradient is not finite "
            f"({self.in_a_row} in a row); look at it with python -m tools.replay_step {file}"
        )
        if self.in_a_row >= self.patience:
            raise ValueError(
                f"the loss or its gradient was not finite in {self.in_a_row} steps in a row, up "
                f"to step {step}: lower optim.lr, or look with python -m tools.replay_step {file}"
            )

    def _given(self, trainer: Trainer, batch: Batch, step: int) -> dict[str, Any]:
        count = len(batch["keys"])
        given = {
            "step": step,
            "rank": trainer.global_rank,
            "keys": batch["keys"],
            "object_seeds": batch["object_seeds"].tolist(),
            "images_seen": int(trainer.lightning_module.images_seen),
            "weights": self._weights,
        }
        data = getattr(trainer, "datamodule", None)
        if data is not None:
            end = data.next_position()
            first = end - (trainer.world_size - trainer.global_rank) * count
            given |= {
                "positions": [first, first + count],
                "version": data.manifest.version,
            }
        return given
