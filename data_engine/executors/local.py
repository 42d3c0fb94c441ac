"""Runs the shards of a job on this machine, in this process or in several."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import TypeVar

from data_engine.executors.failures import Failures
from data_engine.executors.worker_process import WorkerProcess

Item = TypeVar("Item")
Result = TypeVar("Result")


class LocalExecutor:
    """Runs work in `workers` processes, each on one of the machine's GPUs; with one, in this one.

    A worker that is killed or fails is replaced, and its item is done again. Workers end when
    this process dies, even by SIGKILL.
    """

    def __init__(self, workers: int = 1) -> None:
        if workers < 1:
            raise ValueError(f"executor.workers is {workers}: at least one is needed")
        self.workers = workers

    def run(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yields the results as they come. An error that would come again ends the run."""
        workers = min(self.workers, len(items))
        if workers > 1:
            yield from _run_in_processes(work, items, workers)
            return
        failures = Failures()
        for item in items:
            while True:
                try:
                    result = work(item)
                except Exception as error:
                    failures.add(error)
                else:
                    break
            failures.reset()
            yield result


def _run_in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[Result]:
    waiting, failures = deque(items), Failures()
    crew = [WorkerProcess(work, number) for number in range(workers)]
    try:
        for worker in crew:
            worker.give(waiting.popleft())
        while busy := {worker.connection: worker for worker in crew if worker.items}:
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                worker = busy[connection]
                result, error = worker.outcome()
                item = worker.items.pop()
                if error is None:
                    failures.reset()
                    yield result
                else:
                    failures.add(error)
                    waiting.appendleft(item)
                    worker.restart()
                if waiting:
                    worker.give(waiting.popleft())
    finally:
        for worker in crew:
            worker.process.terminate()
        for worker in crew:
            worker.end()
