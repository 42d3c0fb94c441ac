"""Where a run is logged beside its CSV file."""

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from sam_train.wandb_run import wandb_arguments

logger = logging.getLogger(__name__)

LONGEST_SIDE = 2048  # pixels of a picture that is logged


class PatientWandbLogger(WandbLogger):
    """W&B's logger, which goes offline where the server does not begin the run in time."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        import wandb

        try:
            return super().experiment
        except (wandb.errors.Error, TimeoutError) as error:
            logger.warning(f"W&B is offline, `wandb sync` uploads later: {error}")
            wandb.teardown()  # else the run counts as being in use
            self._wandb_init["mode"] = "offline"
            return super().experiment


def wandb_logger(
    *, save_dir: Path | str, project: str, name: str, group: str | None = None
) -> WandbLogger:
    """A W&B logger of the run in a folder; runs of one sweep have the same `group`."""
    return PatientWandbLogger(
        save_dir=save_dir,
        project=project,
        name=name,
        group=group,
        **wandb_arguments(Path(save_dir)),
    )


def log_picture(log: Logger, name: str, picture: UInt8[np.ndarray, "H W 3"], *, step: int) -> None:
    """Gives a picture to a logger that takes any."""
    if isinstance(log, WandbLogger):
        log.log_image(name, [picture], step=step)
    elif isinstance(log, TensorBoardLogger):
        log.experiment.add_image(name, picture, step, dataformats="HWC")


def shrink(picture: UInt8[np.ndarray, "H W 3"], longest_side: int) -> UInt8[np.ndarray, "h w 3"]:
    """The picture with at most `longest_side` pixels a side."""
    scale = longest_side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
