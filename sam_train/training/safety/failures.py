"""A run of several ranks that fails says in one sentence which rank failed, and why."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pydoc import locate

from lightning import Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch.distributed import DistError
from torch.multiprocessing.spawn import ProcessException, ProcessRaisedException

# What a rank meets that waits for another one which is gone.
LOST = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Timed out")


@contextmanager
def one_sentence_of_ranks() -> Iterator[None]:
    """Turns what the ranks of a failed run meet into a sentence; errors of the program stay.

    Ranks that are processes of their own each end with their own error. Those that this process
    forked are reported by the trace of the first that failed.
    """
    try:
        yield
    except (ProcessException, RuntimeError) as error:
        if "EADDRINUSE" in str(error):
            raise OSError(
                f"the port at which the ranks meet is in use ({os.environ.get('MASTER_PORT')}): "
                f"set MASTER_PORT to a free one"
            ) from error
        if lost_another(error):
            raise OSError(
                f"a rank is gone or did not answer in time ({str(error).strip().splitlines()[-1]}"
                f"): give the command again to go on from the last checkpoint"
            ) from error
        if sentence := sentence_of(error):
            raise ValueError(sentence) from error
        raise


def lost_another(error: BaseException) -> bool:
    """Whether an error only says that another rank is gone, or that one died without a word."""
    if isinstance(error, DistError):
        return True
    if isinstance(error, ProcessException) and not isinstance(error, ProcessRaisedException):
        return True
    last_line = (str(error).strip().splitlines() or [""])[-1]
    return any(sign in last_line for sign in LOST)


def sentence_of(error: BaseException) -> str | None:
    """What a forked rank said, if it is something that the user can mend."""
    if not isinstance(error, ProcessRaisedException):
        return None
    for name, sentence in reversed(re.findall(r"^([\w.]+): (.+)$", str(error), re.MULTILINE)):
        kind = locate(name)
        if isinstance(kind, type) and issubclass(kind, BaseException):
            is_told = issubclass(kind, ValueError | OSError)
            return f"rank {error.error_index} failed: {sentence}" if is_told else None
    return None


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
