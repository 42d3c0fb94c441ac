"""The jobs of this user in a Slurm queue, where there is one."""

import getpass
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tools.run_status.runs import RunStatus

PATIENCE_S = 10.0
FORMAT = "%i|%j|%T|%M|%L|%R|%Z"  # id, name, state, time, time left, reason or nodes, folder


@dataclass(frozen=True)
class Job:
    """A line of squeue."""

    id: str
    name: str
    state: str
    time: str
    left: str
    reason: str
    folder: str


def queued_jobs() -> list[Job]:
    """The jobs that wait or run; none where no scheduler is or answers."""
    if shutil.which("squeue") is None:
        return []
    command = ["squeue", "--noheader", "--array", "--user", getpass.getuser(), "--format", FORMAT]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        print(f"squeue: no answer within {PATIENCE_S:.0f} s, the queue is left out")
        return []
    if asked.returncode:
        said = (asked.stderr.strip().splitlines() or ["it failed"])[-1]
        print(f"squeue: {said}, the queue is left out")
        return []
    return parse_jobs(asked.stdout)


def parse_jobs(text: str) -> list[Job]:
    lines = (line.split("|") for line in text.splitlines())
    return [Job(*parts) for parts in lines if len(parts) == len(FORMAT.split("|"))]


def queue_lines(jobs: Sequence[Job], runs: Sequence[RunStatus]) -> Iterator[str]:
    """A line for each job; one that runs names the folder of its run."""
    folders = {run.job: run.folder for run in runs if run.job}
    for job in jobs:
        if job.state == "PENDING":
            yield f"waiting  job {job.id} {job.name}: {job.reason.strip('()')}, from {job.folder}"
        else:
            run = f", {folders[job.id]}" if job.id in folders else ""
            state = job.state.lower()
            yield f"{state:8} job {job.id} {job.name}: {job.time}, {job.left} left{run}"
