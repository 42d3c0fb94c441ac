"""Weights & Biases that never waits for the network."""

import netrc
import os
from pathlib import Path

from lightning.pytorch.loggers import WandbLogger


def wandb_logger(*, save_dir: Path | str, project: str, name: str) -> WandbLogger:
    """A W&B logger, offline where no key is set (WANDB_API_KEY, or `wandb login`)."""
    return WandbLogger(save_dir=save_dir, project=project, name=name, offline=not _has_key())


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (FileNotFoundError, netrc.NetrcParseError):
        return False
