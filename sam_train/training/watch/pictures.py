"""What a training run shows and warns of."""

import logging
from collections import deque
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from lightning import Callback, LightningModule, Trainer

from sam_train.data.stream.collate import Batch

logger = logging.getLogger(__name__)

GREEN, RED = (60, 220, 60), (230, 60, 60)


class PredictionPictures(Callback):
    """Writes pictures of the masks of a step: the truth in green, the last round's in red.

    They go to `pictures/` in the run's folder and to every logger that takes images.
    """

    def __init__(self, every_n_steps: int, *, max_images: int = 8) -> None:
        self.every_n_steps = every_n_steps
        self.max_images = max_images

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if trainer.global_step % self.every_n_steps or not trainer.is_global_zero:
            return
        picture = draw_batch(batch, outputs["pred_masks"], max_images=self.max_images)
        folder = Path(trainer.default_root_dir) / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"step-{trainer.global_step:07d}.jpg"
        cv2.imwrite(str(folder / name), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        for log in trainer.loggers:
            if hasattr(log, "log_image"):
                log.log_image("train/predictions", [picture], step=trainer.global_step)


class EmptyPredictionWarning(Callback):
    """Warns once when most predictions of the last `window` steps were empty.

    Focal loss from random weights settles on empty masks; nothing is learned from there.
    """

    def __init__(self, max_share: float, window: int) -> None:
        self.max_share = max_share
        self.shares: deque[float] = deque(maxlen=window)
        self.warned = False

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self.shares.append(outputs["empty_share"])
        share = sum(self.shares) / len(self.shares)
        if len(self.shares) == self.shares.maxlen and share > self.max_share and not self.warned:
            self.warned = True
            logger.warning(
                f"{share:.0%} of the predicted masks of the last {len(self.shares)} steps are "
                "empty; lower loss.focal_weight or the learning rate, or start from weights"
            )


def draw_batch(
    batch: Batch, pred_masks: torch.Tensor, *, max_images: int
) -> UInt8[np.ndarray, "H W 3"]:
    """The images of a batch side by side; of each the outlines of its first masks."""
    pictures = []
    for number, image in enumerate(batch["images"][:max_images]):
        picture = np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())
        for index in torch.nonzero(batch["image_index"] == number)[:6, 0].tolist():
            for masks, colour in ((batch["gt_masks"], GREEN), (pred_masks, RED)):
                outline(picture, masks[index].cpu().numpy(), colour)
        pictures.append(picture)
    return np.concatenate(pictures, axis=1)


def outline(picture: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Draws the outline of a mask of any grid on a picture, in place."""
    full = cv2.resize(mask.astype(np.uint8), picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(full, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, colour, 1)
