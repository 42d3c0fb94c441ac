"""A process that works on one item at a time, and ends with its parent."""

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from data_engine.executors.failures import WorkerKilled

Item = TypeVar("Item")
Result = TypeVar("Result")


class WorkerProcess:
    """A process with the work; `number` chooses its GPU.

    It is forked, so the model is not copied or sent, unless CUDA is in use here, which forbids it.
    """

    def __init__(self, work: Callable[[Any], Any], number: int) -> None:
        self._work, self._number = work, number
        self.items: list[Any] = []  # at most one
        self._start()

    def _start(self) -> None:
        torch = sys.modules.get("torch")  # seconds to import, and not all work needs it
        method = "spawn" if torch and torch.cuda.is_initialized() else "fork"
        context: Any = multiprocessing.get_context(method)
        self.connection, theirs = context.Pipe()
        # No daemon of multiprocessing's: those may not have processes of their own.
        self.process = context.Process(target=_serve, args=(self._work, theirs, self._number))
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


def do_alone(work: Callable[[Item], Result], item: Item) -> Result:
    """Works on one item in a process of its own; WorkerKilled if that dies."""
    torch = sys.modules.get("torch")
    on_gpu = torch and torch.cuda.is_initialized()
    worker = WorkerProcess(work, torch.cuda.current_device() if torch and on_gpu else 0)
    try:
        worker.give(item)
        result, error = worker.outcome()
    finally:
        worker.end()
    if error is not None:
        raise error
    return result


def one_thread() -> None:
    """Limits this worker's process to one thread: there is one for each core, and alike results."""
    os.environ["OMP_NUM_THREADS"] = "1"  # of a torch that the work imports
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


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


def _outcome(work: Callable[[Any], Any], item: Any) -> tuple[Any, Exception | None]:
    try:
        return work(item), None
    except Exception as error:
        if not isinstance(error, ValueError | OSError):  # these are told in a sentence
            error.add_note(traceback.format_exc())
        return None, error


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)  # in order, if that is possible soon
    time.sleep(3)
    os._exit(1)
