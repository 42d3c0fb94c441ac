"""Runs the shards of a job in actors of a Ray cluster, on this machine or elsewhere."""

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from data_engine.executors.failures import FINAL, MAX_IN_A_ROW
from data_engine.executors.worker_process import one_thread

logger = logging.getLogger(__name__)

LISTENER_TIMEOUT_S = 10.0

Item = TypeVar("Item")
Result = TypeVar("Result")


class RayExecutor:
    """Runs work in `workers` actors of the cluster at `address`; null starts one on this machine.

    Ray restarts an actor that dies, on any node, and does its item again. The work, with its
    model, is put into Ray's memory once. All nodes must see the run's folder under its path.
    Where nothing listens at the address, it cannot be made.
    """

    def __init__(
        self,
        workers: int = 1,
        *,
        address: str | None = None,
        cpus_per_worker: int = 1,
        gpus_per_worker: float = 0.0,
    ) -> None:
        if workers < 1:
            raise ValueError(f"executor.workers is {workers}: at least one is needed")
        require_listener(address)
        self.workers = workers
        self.address = address
        self._resources = {"num_cpus": cpus_per_worker, "num_gpus": gpus_per_worker}

    def run(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yields the results as they come. An error that would come again ends the run."""
        ray = _ray()
        try:
            ray.init(address=self.address or "local", log_to_driver=False, logging_level="ERROR")
        except Exception as error:  # Ray has no type of its own for this
            raise no_cluster(self.address, error) from error
        try:
            yield from self._run(ray, work, items)
        except ray.exceptions.RayError as error:
            raise OSError(
                f"the Ray cluster gave up ({first_line(error)}): see that it lives and has "
                "memory, and run the same command again"
            ) from error
        finally:
            ray.shutdown()

    def _run(
        self, ray: Any, work: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[Result]:
        actor = ray.remote(max_restarts=-1, max_task_retries=MAX_IN_A_ROW, **self._resources)(
            RayWorker
        )
        shared = ray.put(work)
        crew = [actor.remote(shared) for _ in range(min(self.workers, len(items)))]
        waiting = iter(items)
        busy = {
            worker.run.remote(item): worker for worker, item in zip(crew, waiting, strict=False)
        }
        while busy:
            (ready,), _ = ray.wait(list(busy), num_returns=1)
            worker = busy.pop(ready)
            result, error = ray.get(ready)
            if error is not None:
                raise error
            for item in waiting:
                busy[worker.run.remote(item)] = worker
                break
            yield result


class RayWorker:
    """An actor that works on one item at a time; Ray starts it anew when its process ends."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        one_thread()
        self._work = work

    def run(self, item: Any) -> tuple[Any, Exception | None]:
        """The result, or the error that would come again. Any other ends the process."""
        try:
            return self._work(item), None
        except Exception as error:
            if isinstance(error, FINAL):
                return None, error
            logger.exception(f"{item} is done again")
            os._exit(1)


def require_listener(address: str | None) -> None:
    """Tells at once that nothing listens at HOST:PORT; Ray itself tries again for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):  # none, or auto
        return
    try:
        socket.create_connection((host, int(port)), timeout=LISTENER_TIMEOUT_S).close()
    except OSError as error:
        raise no_cluster(address, error) from error


def no_cluster(address: str | None, error: Exception) -> OSError:
    where = f"answers at {address}" if address else "could be started here"
    return OSError(
        f"no Ray cluster {where} ({first_line(error)}): look after it and run the same command "
        "again"
    )


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ValueError(
            "executor=ray needs Ray: pip install 'sam-train[ray]', or choose executor=local"
        ) from error
    return ray
