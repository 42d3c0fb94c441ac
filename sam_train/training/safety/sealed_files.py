"""The files of checkpoints: one that has its name is whole. Nothing heavy is loaded to look."""

import logging
from pathlib import Path

from sam_train.data.store.durable import file_sha256, rename_durably

logger = logging.getLogger(__name__)


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
