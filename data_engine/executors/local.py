"""Runs the shards of a job on this machine, in this process or in forked ones."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_work: Callable[[Any], Any] | None = None  # of a worker process, set when it starts


class LocalExecutor:
    """Runs work in `workers` processes; with one, in this process.

    Workers are forked, so the model is not copied or sent. They end when this process dies,
    even by SIGKILL, so that a restarted run is alone.
    """

    def __init__(self, workers: int = 1) -> None:
        if workers < 1:
            raise ValueError(f"executor.workers is {workers}: at least one is needed")
        self.workers = workers

    def run(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yields the results as they come. The first error ends the run."""
        workers = min(self.workers, len(items))
        if workers <= 1:
            yield from map(work, items)
            return
        lifeline = os.pipe()
        pool = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("fork"),
            initializer=_start_worker,
            initargs=(work, lifeline),
        )
        try:
            for future in as_completed([pool.submit(_run, item) for item in items]):
                yield future.result()
        except BrokenProcessPool as error:
            raise OSError(
                "a worker process was killed, perhaps for lack of memory: lower executor.workers "
                "and run the same command again"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
            for end in lifeline:
                os.close(end)


def _start_worker(work: Callable[[Any], Any], lifeline: tuple[int, int]) -> None:
    """Keeps the inherited work, and watches the pipe whose other end dies with the parent."""
    global _work
    _work = work
    os.environ["OMP_NUM_THREADS"] = "1"  # of a torch that the work imports
    if torch := sys.modules.get("torch"):  # seconds to import, and not all work needs it
        torch.set_num_threads(1)
    reader, writer = lifeline
    os.close(writer)
    threading.Thread(target=lambda: (os.read(reader, 1), os._exit(1)), daemon=True).start()


def _run(item: Any) -> Any:
    assert _work is not None
    return _work(item)
