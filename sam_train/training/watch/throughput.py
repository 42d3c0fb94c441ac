"""How fast a run is, how long it waits for data, and how much memory of the GPU it takes."""

import time
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from sam_train.data.stream.collate import Batch
from sam_train.training.scale.ranks import sum_over_ranks
from sam_train.training.watch.interval import check_interval
from sam_train.training.watch.logged_values import log_values


class Throughput(Callback):
    """Logs images and masks a second of all ranks, and the share of the time they wait for data.

    On a GPU also the peak of this rank's memory, in GiB. All are shown in the progress bar.
    """

    def __init__(self, *, every_n_steps: int = 10) -> None:
        check_interval("throughput", every_n_steps)
        self.every_n_steps = every_n_steps
        self.start = self.waiting_since = self.waited = 0.0
        self.images = self.masks = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restart()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        self.waited += time.monotonic() - self.waiting_since

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        self.images += len(batch["images"])
        self.masks += len(batch["image_index"])
        self.waiting_since = time.monotonic()
        if trainer.global_step % self.every_n_steps:
            return
        seconds = time.monotonic() - self.start
        images, masks, waited, ranks = sum_over_ranks(
            [float(self.images), float(self.masks), self.waited / seconds, 1.0], pl_module.device
        )
        speed = {"images_per_s": images / seconds, "masks_per_s": masks / seconds}
        speed["data_wait"] = waited / ranks
        if pl_module.device.type == "cuda":
            speed["gpu_gib"] = torch.cuda.max_memory_allocated(pl_module.device) / 2**30
        named = {f"speed/{name}": value for name, value in speed.items()}
        log_values(pl_module, named, shown=named)
        self._restart()

    def _restart(self) -> None:
        self.start = self.waiting_since = time.monotonic()
        self.images = self.masks = 0
        self.waited = 0.0
