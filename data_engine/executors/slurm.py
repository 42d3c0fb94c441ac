"""Runs the shards of a job as a Slurm job array."""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from data_engine.executors.failures import FINAL, Failures, WorkerKilled
from data_engine.executors.worker_process import one_thread
from sam_train.data.store.durable import durable_file
from sam_train.launching.slurm import queued_jobs, refusals, require_partition, require_slurm

Item = TypeVar("Item")
Result = TypeVar("Result")

TASKS_PER_WORKER = 8  # so that no worker is left alone with a long end
MAX_ARRAY = 1000  # Slurm's default MaxArraySize is 1001
POLL_S = 2.0
WARNING_S = 20  # before the time limit: there is nothing to save
IN_VAIN = 3  # time limits in a row in which a task finished nothing more


class SlurmExecutor:
    """Runs work in array tasks, `workers` of them at a time, each on its part of the items.

    A task that is preempted, loses its node or meets its time limit is queued again and goes on
    with what is not finished. Tasks outlive this process when it is killed; the next run waits
    for the shards that they are at. `parameters` are further ones of sbatch (`{qos: low}`). All
    nodes must see `folder`, where Slurm's logs lie, and the run's folder under their paths.
    Without Slurm, or without the partition, it cannot be made.
    """

    def __init__(
        self,
        workers: int = 1,
        *,
        folder: str,
        partition: str | None = None,
        minutes: int = 240,
        cpus_per_worker: int = 1,
        gpus_per_worker: int = 0,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        if workers < 1:
            raise ValueError(f"executor.workers is {workers}: at least one is needed")
        require_slurm("executor=slurm", "executor=local")
        require_partition(partition)
        self.workers = workers
        self.folder = Path(folder).absolute()
        self._parameters: dict[str, Any] = {
            "time": minutes,
            "signal_delay_s": WARNING_S,
            "cpus_per_task": cpus_per_worker,
            "array_parallelism": workers,
            **({"partition": partition} if partition else {}),
            **({"gpus_per_node": gpus_per_worker} if gpus_per_worker else {}),
            "additional_parameters": {"requeue": True, **(parameters or {})},
        }

    def run(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yields the results as they come. An error that would come again ends the run."""
        executor = self._executor()
        task = SlurmTask(self._saved(work))
        count = min(len(items), self.workers * TASKS_PER_WORKER, MAX_ARRAY)
        parts = [items[number::count] for number in range(count)]
        with refusals():
            jobs = dict(zip(executor.map_array(task, parts), parts, strict=True))
        failures = Failures()
        try:
            while jobs:
                queued = queued_jobs()
                time.sleep(POLL_S)  # a task that left the queue has written by then
                for job in [job for job in jobs if _has_ended(job, queued)]:
                    results, error = _outcome(job)
                    part = jobs.pop(job)
                    if error is None:
                        failures.reset()
                        yield from results
                    else:
                        failures.add(error)
                        jobs[executor.submit(task, part)] = part
        finally:
            for job in jobs:
                job.cancel()

    def _executor(self) -> Any:
        try:
            import submitit
        except ImportError as error:
            raise ValueError(
                "executor=slurm needs submitit: pip install 'sam-train[cluster]', or choose "
                "executor=local"
            ) from error
        executor = submitit.SlurmExecutor(self.folder, max_num_timeout=MAX_ARRAY)
        executor.update_parameters(job_name="data-engine", **self._parameters)
        return executor

    def _saved(self, work: Callable[[Any], Any]) -> Path:
        """The file with the work and its model, once for all tasks."""
        import cloudpickle

        path = self.folder / "work.pkl"
        with durable_file(path) as file:
            cloudpickle.dump(work, file)
        return path


class SlurmTask:
    """What an array task runs: the work on its items, one after the other."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._done = self._before = self._in_vain = 0  # items, now and at the last time limit

    def __call__(self, items: Sequence[Any]) -> tuple[list[Any], Exception | None]:
        """The results, or the error that would come again. Any other ends the task."""
        import cloudpickle

        one_thread()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # in order, when it is preempted
        work = cloudpickle.loads(self._work.read_bytes())
        results: list[Any] = []
        try:
            for item in items:
                results.append(work(item))
                self._done = len(results)
            return results, None
        except Exception as error:
            if isinstance(error, FINAL):
                return [], error
            raise

    def checkpoint(self, items: Sequence[Any]) -> Any:
        """What submitit queues again when Slurm announces an end; finished items are kept."""
        import submitit

        self._in_vain = self._in_vain + 1 if self._done <= self._before else 0
        self._before, self._done = self._done, 0
        if self._in_vain == IN_VAIN:
            return submitit.helpers.DelayedSubmission(too_short)
        return submitit.helpers.DelayedSubmission(self, items)


def too_short() -> tuple[list[Any], Exception]:
    """The outcome of a task that its time limit keeps from finishing anything."""
    return [], OSError(
        f"a shard is not done within the time limit of a task, which met it {IN_VAIN} times: raise "
        "executor.minutes, or begin anew with a smaller images_per_shard"
    )


def _has_ended(job: Any, queued: set[str]) -> bool:
    return job.paths.result_pickle.exists() or job.job_id not in queued


def _outcome(job: Any) -> tuple[list[Any], Exception | None]:
    """The results of a task that ended, or why there are none."""
    import submitit

    if not job.paths.result_pickle.exists():
        return [], WorkerKilled(f"Slurm task {job.job_id} ended without a result")
    try:
        return job.result()
    except (submitit.core.utils.FailedJobError, submitit.core.utils.UncompletedJobError) as error:
        return [], WorkerKilled(f"Slurm task {job.job_id} failed: {str(error).strip()[-300:]}")
