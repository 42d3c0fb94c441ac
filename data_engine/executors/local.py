"""Runs the shards of a job on this machine, in this process or in several."""

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from data_engine.executors.failures import Failures, WorkerKilled, is_the_users

Item = TypeVar("Item")
Result = TypeVar("Result")


class LocalExecutor:
    """Runs work in `workers` processes, each on one of the machine's GPUs; with one, in this one.

    A worker that is killed or fails is replaced, and its item is done again. Workers are forked,
    so the model is not copied or sent, unless CUDA is in use here, which forbids it. They end
    when this process dies, even by SIGKILL.
    """

    def __init__(self, workers: int = 1) -> None:
        if workers < 1:
            raise ValueError(f"executor.workers is {workers}: at least one is needed")
        self.workers = workers

    def run(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yields the results as they come. An error that the user can mend ends the run."""
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
    crew = [_Worker(work, number) for number in range(workers)]
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


class _Worker:
    """A process that works on one item at a time."""

    def __init__(self, work: Callable[[Any], Any], number: int) -> None:
        self._work, self._number = work, number
        self.items: list[Any] = []  # at most one
        self._start()

    def _start(self) -> None:
        torch = sys.modules.get("torch")  # seconds to import, and not all work needs it
        method = "spawn" if torch and torch.cuda.is_initialized() else "fork"
        context: Any = multiprocessing.get_context(method)
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(self._work, theirs, self._number), daemon=True
        )
        self.process.start()
        theirs.close()

    def give(self, item: Any) -> None:
        self.items.append(item)
        with suppress(BrokenPipeError):  # it died; its outcome will say so
            self.connection.send(item)

    def outcome(self) -> tuple[Any, Exception | None]:
        """What became of the item: a result or an error."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return None, WorkerKilled("a worker process was killed")

    def restart(self) -> None:
        self.end()
        self._start()

    def end(self) -> None:
        self.process.terminate()
        self.process.join(10)
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(work: Callable[[Any], Any], connection: Connection, number: int) -> None:
    """Does what is asked until it is told to end, or this process's parent dies."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    one_thread()
    torch = sys.modules.get("torch")
    if torch and (devices := torch.cuda.device_count()):
        torch.cuda.set_device(number % devices)
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            connection.send(_outcome(work, connection.recv()))


def one_thread() -> None:
    """Limits this worker's process to one thread: there is one for each core, and alike results."""
    os.environ["OMP_NUM_THREADS"] = "1"  # of a torch that the work imports
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def _outcome(work: Callable[[Any], Any], item: Any) -> tuple[Any, Exception | None]:
    try:
        return work(item), None
    except Exception as error:
        if not is_the_users(error):
            error.add_note(traceback.format_exc())
        return None, error


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)  # in order, if that is possible soon
    time.sleep(3)
    os._exit(1)
