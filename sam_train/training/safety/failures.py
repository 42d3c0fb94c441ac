"""A run of several ranks that fails says in one sentence which rank failed, and why."""

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch.distributed import DistError
from torch.multiprocessing.spawn import ProcessException

NOTE = "failure.txt"
# What a rank meets that waits for another one which is gone.
LOST = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Timed out")


class FailureNote(Callback):
    """Leaves the sentence of the rank that failed first where the others can read it."""

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        # The process that forked the ranks meets a ProcessException: their own words count.
        told_elsewhere = (KeyboardInterrupt, SystemExit, ProcessException)
        if isinstance(exception, told_elsewhere) or lost_another(exception):
            return
        sentence = f"{type(exception).__name__}: {exception}"
        if isinstance(exception, ValueError | OSError):
            sentence = str(exception)
        elif trainer.world_size > 1:
            traceback.print_exception(exception)
        note = Path(trainer.default_root_dir) / NOTE
        where = f"rank {trainer.global_rank} failed after step {trainer.global_step}"
        note.write_text(f"{where}: {sentence.splitlines()[0]}")


@contextmanager
def one_failure(output_dir: Path) -> Iterator[None]:
    """Turns what the ranks of a failed run meet into the sentence of the one that failed."""
    note = output_dir / NOTE
    note.unlink(missing_ok=True)
    try:
        yield
    except (ProcessException, RuntimeError) as error:
        if "EADDRINUSE" in str(error):
            raise OSError(
                f"the port at which the ranks meet is in use ({os.environ.get('MASTER_PORT')}): "
                f"set MASTER_PORT to a free one"
            ) from error
        if note.exists():
            raise ValueError(note.read_text()) from error
        if lost_another(error) or isinstance(error, ProcessException):
            raise OSError(
                f"a rank is gone or did not answer in time ({str(error).strip().splitlines()[-1]}"
                f"): give the command again to go on from the last checkpoint"
            ) from error
        raise


def lost_another(error: BaseException) -> bool:
    """Whether an error only says that another rank is gone."""
    return isinstance(error, DistError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in LOST)
    )


def check_launch(trainer: Trainer) -> None:
    """Raises a ValueError where nodes would wait for each other without end."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if trainer.num_nodes > 1 and isinstance(environment, LightningEnvironment):
        missing = [
            name for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if name not in os.environ
        ]
        if missing:
            raise ValueError(
                f"trainer.num_nodes is {trainer.num_nodes}, but {', '.join(missing)} is not set: "
                f"start every node with srun or torchrun, or set it on each"
            )
