"""Jobs on this machine, so many at a time, each with a port and GPUs of its own."""

import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sam_train.launching.job import STOPS, Job, JobRecord
from sam_train.launching.job_process import PATIENCE_S, JobProcess
from sam_train.run_folder import locked

POLL_S = 0.2
FOREIGN = ("WANDB_RUN_ID", "LOCAL_RANK", "RANK", "NODE_RANK", "WORLD_SIZE", "PL_GLOBAL_SEED")
Reason = Callable[[Job], str | None]


def run_jobs(
    jobs: Iterable[Job], crew: "Crew", *, prune: Reason = lambda job: None
) -> Iterator[tuple[Job, JobRecord]]:
    """Yields what became of each job, in the order in which they end.

    A job is taken from `jobs` when there is room for it. When this process is stopped all running
    ones are, and save first. `prune` gives a reason to stop a job, or None.
    """
    waiting = iter(jobs)
    try:
        while True:
            while crew.has_room() and (job := next(waiting, None)):
                crew.start(job)
            if not crew.running:
                return
            time.sleep(POLL_S)
            for process in crew.running.values():
                if reason := prune(process.job):
                    process.stop("pruned", reason)
            yield from crew.ended()
    finally:
        crew.stop()


class Crew:
    """Processes on this machine that each do one job, `at_a_time` of them.

    A job that is killed, not asked to stop, is started again `restarts` times and goes on from
    its checkpoint.
    """

    def __init__(self, at_a_time: int, *, restarts: int, group: str) -> None:
        self.running: dict[int, JobProcess] = {}  # by slot, which has GPUs of its own
        self._at_a_time = at_a_time
        self._restarts = restarts
        self._restarted: Counter[str] = Counter()
        self._group = group

    def has_room(self) -> bool:
        return len(self.running) < self._at_a_time

    def start(self, job: Job) -> None:
        # A process of a killed sweep may still be saving there.
        with locked(job.folder, patience_s=PATIENCE_S):
            pass
        slot = min(set(range(self._at_a_time)) - self.running.keys())
        environment = environment_of(slot, self._at_a_time, self._group)
        self.running[slot] = JobProcess(job, environment)

    def ended(self) -> Iterator[tuple[Job, JobRecord]]:
        """The jobs that ended since it was last asked."""
        for slot, process in list(self.running.items()):
            record = process.poll()
            if record is None:
                continue
            del self.running[slot]
            name = process.job.name
            if was_killed(record) and self._restarted[name] < self._restarts:
                self._restarted[name] += 1
                self.start(process.job)
            else:
                yield process.job, record

    def stop(self) -> None:
        """Has all that run save and end."""
        for process in self.running.values():
            process.stop()
        for process in self.running.values():
            process.end()


def was_killed(record: JobRecord) -> bool:
    """Whether the job did not end by itself, for lack of memory perhaps."""
    return record.state == "failed" and (record.reason or "").startswith("killed by ")


def environment_of(slot: int, slots: int, group: str) -> dict[str, str]:
    """Sets a job apart from those beside it: port and GPUs; its W&B run is in their group.

    What another run, rank or task left in the environment is not taken for the job's own.
    """
    found = {name: value for name, value in os.environ.items() if not is_foreign(name)}
    found |= {"MASTER_PORT": str(free_port()), "WANDB_RUN_GROUP": group}
    if gpus := gpus_of_machine():
        each = max(1, len(gpus) // slots)
        first = slot * each % len(gpus)
        found["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[first : first + each])
    return found


def is_foreign(name: str) -> bool:
    """Whether a variable says which process this one is, in a run or in a Slurm job."""
    return name in FOREIGN or (name.startswith("SLURM_") and name != "SLURM_CONF")


def gpus_of_machine() -> list[str]:
    """Names or numbers of the GPUs that this process may use, found without torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name]
    return [str(number) for number in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("", 0))
        return listening.getsockname()[1]


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """A signal to stop ends this process in order: with its jobs, and with the signal's status."""
    before = {number: signal.getsignal(number) for number in STOPS}
    for number in STOPS:
        signal.signal(number, lambda received, frame: sys.exit(128 + received))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
