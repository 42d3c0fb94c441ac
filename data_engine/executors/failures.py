"""When work is done again, and when a run gives up."""

import logging

logger = logging.getLogger(__name__)

MAX_IN_A_ROW = 10

# Doing it again helps nothing: the user can mend it (its sentence says how), or the code is wrong.
FINAL = (
    *(ValueError, OSError),
    *(TypeError, AttributeError, NameError, ImportError, AssertionError, NotImplementedError),
)


class WorkerKilled(Exception):
    """A worker's process ended in the midst of its work."""


class Failures:
    """Failures of workers since the last result."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def add(self, error: Exception) -> None:
        """Raises the error, unless doing the work again may help."""
        self._in_a_row += 1
        if isinstance(error, FINAL):
            raise error
        if self._in_a_row >= MAX_IN_A_ROW:
            if isinstance(error, WorkerKilled):
                raise OSError(
                    f"{error}, {MAX_IN_A_ROW} times in a row, perhaps for lack of memory: lower "
                    "executor.workers and run the same command again"
                )
            raise error
        logger.warning(f"{type(error).__name__}: {error}; its shard is done again")

    def reset(self) -> None:
        self._in_a_row = 0
