"""launcher=slurm: the jobs of a multirun as the tasks of a Slurm array, through submitit."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sam_train.data.store.durable import durable_file
from sam_train.launching.job import Job, JobRecord, read_record, write_record
from sam_train.launching.job_process import JobProcess, attempts_of
from sam_train.launching.multirun import require_all, split_finished, tell
from sam_train.run_folder import locked

POLL_S = 2.0
QUEUED = "slurm_jobs.json"  # in the folder of the sweep
MAX_TIMEOUTS = 1000  # a job that meets its time limit is queued again, each time
STOP_SIGNAL = "USR1"  # submitit's is USR2, which would end a training without a checkpoint


class SlurmJob:
    """What each task of a job runs: the command, in a process of its own."""

    def __call__(self, job: Job) -> None:
        rank = int(os.environ.get("SLURM_PROCID", "0"))
        environment = {**os.environ, "WANDB_RUN_GROUP": job.folder.parent.name}
        self._process = JobProcess(job, environment, records=rank == 0)
        signal.signal(signal.SIGTERM, lambda *_: self._process.forward(signal.SIGTERM))
        self._process.wait_for_end()
        state = self._process.wait().state
        if state == "interrupted" and rank == 0:
            queue_again(os.environ["SLURM_JOB_ID"])
        if state != "finished":
            raise SystemExit(1)

    def checkpoint(self, job: Job) -> Any:
        """What submitit queues again before the time limit, once the job has saved."""
        import submitit

        self._process.forward(signal.SIGUSR1)
        self._process.wait_for_end()
        record = JobRecord(job.command, "waiting", "it met its time limit", attempts_of(job))
        write_record(job.folder, record)
        return submitit.helpers.DelayedSubmission(SlurmJob(), job)


def queue_again(job: str) -> None:
    """For a job that ended in the time of grace before a preemption, which Slurm takes for its end.

    One that was cancelled is not running any more for Slurm, and stays so.
    """
    asked = ["squeue", "--noheader", f"--jobs={job}", "--format=%T"]
    if subprocess.run(asked, capture_output=True, text=True).stdout.strip() == "RUNNING":
        subprocess.run(["scontrol", "requeue", job], check=True)


def launch_on_slurm(jobs: Sequence[Job], *, folder: Path, parameters: dict[str, Any]) -> None:
    """Queues what is neither finished nor queued, and waits; raises where a job failed.

    Jobs outlive this process; the command, given again, waits for those that are still queued.
    """
    executor = executor_of(folder, parameters)
    with locked(folder):
        finished, others = split_finished(jobs)
        ids = still_queued(folder)
        waiting = [job for job in others if job.name not in ids]
        if len(waiting) < len(jobs):
            print(f"{len(jobs) - len(waiting)} of {len(jobs)} jobs are finished or queued already")
        if waiting:
            ids |= submit(executor, waiting)
            with durable_file(folder / QUEUED) as file:
                file.write(json.dumps(ids).encode())
        ended: list[tuple[Job, JobRecord]] = []
        for job in outcomes(others, ids):
            ended.append((job, last_record(job, ids[job.name])))
            tell(*ended[-1], number=len(finished) + len(ended), count=len(jobs))
    require_all(ended)


def submit(executor: Any, jobs: Sequence[Job]) -> dict[str, str]:
    """The id of each job's array task."""
    for job in jobs:
        write_record(job.folder, JobRecord(job.command, "waiting", attempts=attempts_of(job)))
    with refusals():
        tasks = executor.map_array(SlurmJob(), jobs)
    print(f"queued as Slurm job {tasks[0].job_id.partition('_')[0]}")
    return {job.name: str(task.job_id) for job, task in zip(jobs, tasks, strict=True)}


def still_queued(folder: Path) -> dict[str, str]:
    """The ids of the jobs that an earlier launch queued and that Slurm still has."""
    path = folder / QUEUED
    before: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    queued = queued_jobs() if before else set()
    return {name: task for name, task in before.items() if task in queued}


def executor_of(folder: Path, parameters: dict[str, Any]) -> Any:
    require_slurm("launcher=slurm", "launcher=local")
    require_partition(parameters.get("partition"))
    os.environ["SUBMITIT_PREEMPT_SIGNAL"] = STOP_SIGNAL  # read when submitit is imported
    import submitit

    executor = submitit.AutoExecutor(
        folder=parameters.pop("submitit_folder", folder / ".submitit"),
        cluster="slurm",
        slurm_max_num_timeout=parameters.pop("max_num_timeout", MAX_TIMEOUTS),
    )
    shared = {*("name", "timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node")}
    shared |= {"mem_gb", "nodes", "stderr_to_stdout"}
    executor.update_parameters(
        **{
            name if name in shared else f"slurm_{name}": value
            for name, value in parameters.items()
            if value is not None
        }
    )
    return executor


def require_slurm(choice: str, other: str) -> None:
    """Raises a ValueError where there is no scheduler to be found."""
    if shutil.which("sbatch") is None:
        raise ValueError(
            f"{choice} needs sbatch, which is not on this machine: run on a login node of a Slurm "
            f"cluster, or choose {other}"
        )


def require_partition(name: str | None) -> None:
    """Raises a ValueError with the partitions that there are where the named one is not."""
    listed = subprocess.run(["sinfo", "--noheader", "--format=%R"], capture_output=True, text=True)
    known = listed.stdout.split()
    for part in name.split(",") if name and known else []:
        if part not in known:
            raise ValueError(f"Slurm has no partition {part}: choose one of {', '.join(known)}")


@contextmanager
def refusals() -> Iterator[None]:
    """Turns sbatch's refusal of a job into one sentence, after sbatch's own."""
    import submitit

    try:
        yield
    except submitit.core.utils.FailedJobError as error:
        said = re.findall(r"error: (.*)", f"{error}\n{error.__cause__ or ''}") or ["no reason"]
        raise ValueError(
            f"Slurm refused the job ({said[-1]}): change the resources that are asked for"
        ) from error


def queued_jobs() -> set[str]:
    """The ids of the tasks that Slurm runs or will run; sacct would need a database."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    listed = subprocess.run(command, capture_output=True, text=True)
    if listed.returncode:
        raise OSError(
            f"squeue failed ({listed.stderr.strip()}): what is queued goes on; give the command "
            "again"
        )
    return set(listed.stdout.split())


def outcomes(jobs: Sequence[Job], ids: Mapping[str, str]) -> Iterator[Job]:
    """Yields each job when Slurm has no more of it."""
    left = list(jobs)
    while left:
        queued = queued_jobs()
        time.sleep(POLL_S)  # a task that left the queue has written by then
        for job in [job for job in left if ids[job.name] not in queued]:
            left.remove(job)
            yield job


def last_record(job: Job, task: str) -> JobRecord:
    """What the task wrote at its end, or that it wrote nothing."""
    record = read_record(job.folder)
    assert record is not None
    if record.state in ("waiting", "running"):
        reason = f"Slurm task {task} ended without a word"
        record = replace(record, state="failed", reason=reason)
        write_record(job.folder, record)
    return record
