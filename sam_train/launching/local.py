"""launcher=local: the jobs of a multirun on this machine."""

import os
from collections.abc import Sequence
from pathlib import Path

from sam_train.launching.crew import Crew, ended_by_signals, run_jobs
from sam_train.launching.job import Job, JobRecord, write_record
from sam_train.launching.job_process import attempts_of
from sam_train.launching.multirun import require_all, split_finished, tell
from sam_train.run_folder import locked


def launch_here(jobs: Sequence[Job], *, folder: Path, at_a_time: int, restarts: int) -> None:
    """Runs what is not finished; raises a ValueError at the end where a job failed."""
    check_launch(at_a_time)
    with locked(folder), ended_by_signals():
        finished, waiting = split_finished(jobs)
        if finished:
            print(f"{len(finished)} of {len(jobs)} jobs are finished already")
        for job in waiting:
            write_record(job.folder, JobRecord(job.command, "waiting", attempts=attempts_of(job)))
        ended: list[tuple[Job, JobRecord]] = []
        crew = Crew(at_a_time, restarts=restarts, group=folder.name)
        for job, record in run_jobs(waiting, crew):
            ended.append((job, record))
            tell(job, record, len(finished) + len(ended), len(jobs))
    require_all(ended)


def check_launch(at_a_time: int) -> None:
    if at_a_time < 1:
        raise ValueError(f"hydra.launcher.jobs is {at_a_time}: at least one is needed")
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise ValueError(
            "a multirun starts the processes of its jobs itself: give it without torchrun, or "
            "one run alone under torchrun"
        )
