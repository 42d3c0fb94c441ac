"""What runs, waits and failed, and why: from run folders alone, while they run, from anywhere.

python -m tools.status outputs

A folder stands for every run below it: trainings, evaluations, the engine, sweeps. One run alone
is told in detail. Where there is a Slurm queue, its jobs of this user are told too.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from sam_train.command_line import one_sentence_errors
from tools.run_status.engine import engine_lines
from tools.run_status.jobs import unbegun_lines
from tools.run_status.queue import queue_lines, queued_jobs
from tools.run_status.runs import RunStatus, find_runs, told

# What a run of one kind has to tell beside its state: each takes a run's folder.
DETAILS = {"data-engine": engine_lines}
ORDER = ("killed", "failed", "running", "waiting", "stopped", "finished")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("outputs")])
    with one_sentence_errors("status"):
        for line in status(parser.parse_args().folders):
            print(line)


def status(folders: Sequence[Path]) -> Iterator[str]:
    """A line a run, what needs somebody first; the details of one that is alone; the queue."""
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder}: name one that holds runs")
    runs = [run for folder in folders for run in find_runs(folder)]
    jobs = queued_jobs()
    unbegun = [line for folder in folders for line in unbegun_lines(folder)]
    if not (runs or jobs or unbegun):
        named = ", ".join(map(str, folders))
        raise ValueError(
            f"{named} holds no run: name the output_dir of a run, or a folder above some"
        )
    yield from listed(runs)
    yield from unbegun
    yield from queue_lines(jobs, runs)


def listed(runs: Sequence[RunStatus]) -> Iterator[str]:
    counts = {state: sum(run.state == state for run in runs) for state in ORDER}
    if len(runs) > 1:
        yield ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    for run in sorted(runs, key=lambda run: (ORDER.index(run.state), run.folder)):
        yield from told(run)
        if run.program in DETAILS and (len(runs) == 1 or run.state in ("running", "waiting")):
            yield from (f"  {line}" for line in details(run))


def details(run: RunStatus) -> Iterator[str]:
    """What a run has to tell beside its state, as far as its files can be read."""
    try:
        yield from DETAILS[run.program](run.folder)
    except (ValueError, KeyError, TypeError, OSError) as error:
        yield f"more cannot be told, a file below {run.folder} is damaged: {error!r}"


if __name__ == "__main__":
    main()
