"""What a training run draws: the masks of a step on its images."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, UInt8
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from sam_train.data.stream.collate import Batch
from sam_train.training.watch.interval import check_interval
from sam_train.training.watch.loggers import LONGEST_SIDE, log_picture, shrink

GREEN, RED = (60, 220, 60), (230, 60, 60)
MASKS_PER_IMAGE = 6  # more outlines hide each other


class PredictionPictures(Callback):
    """Writes pictures of the masks of a step: the truth in green, the last round's in red.

    They go to `pictures/` in the run's folder and to every logger that takes images.
    """

    def __init__(self, every_n_steps: int, *, max_images: int = 8) -> None:
        check_interval("pictures", every_n_steps)
        self.every_n_steps = every_n_steps
        self.max_images = max_images

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if trainer.global_step % self.every_n_steps or not trainer.is_global_zero:
            return
        drawn = draw_batch(batch, outputs["pred_masks"], max_images=self.max_images)
        picture = shrink(drawn, LONGEST_SIDE)
        folder = Path(trainer.default_root_dir) / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"step-{trainer.global_step:07d}.jpg"
        cv2.imwrite(str(folder / name), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        for log in trainer.loggers:
            log_picture(log, "train/predictions", picture, step=trainer.global_step)


def draw_batch(
    batch: Batch, pred_masks: Bool[Tensor, "N h w"], *, max_images: int
) -> UInt8[np.ndarray, "H W 3"]:
    """The images of a batch side by side; of each the outlines of its first masks."""
    pictures = []
    for number, image in enumerate(batch["images"][:max_images]):
        picture = np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())
        mine = torch.nonzero(batch["image_index"] == number)[:, 0]
        for index in mine[:MASKS_PER_IMAGE].tolist():
            for masks, colour in ((batch["gt_masks"], GREEN), (pred_masks, RED)):
                outline(picture, masks[index].cpu().numpy(), colour)
        pictures.append(picture)
    return np.concatenate(pictures, axis=1)


def outline(
    picture: UInt8[np.ndarray, "H W 3"],
    mask: Bool[np.ndarray, "h w"],
    colour: tuple[int, int, int],
) -> None:
    """Draws the outline of a mask of any grid on a picture, in place."""
    full = cv2.resize(mask.astype(np.uint8), picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(full, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, colour, 1)
