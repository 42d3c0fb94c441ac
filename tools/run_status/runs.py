"""The state of run folders, from their journals: nothing but files is asked."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sam_train.run_journal import JOURNAL, Attempt, is_running, read_attempts
from sam_train.run_progress import RunProgress, read_progress

SILENT_S = 600  # a run that has written nothing for so long may hang
DEPTH = 5  # folders below the one that is named


@dataclass(frozen=True)
class RunStatus:
    """A run folder: `state` is running, waiting (for people), finished, failed, stopped
    or killed."""

    folder: Path
    state: str
    attempts: tuple[Attempt, ...]
    progress: RunProgress | None

    @property
    def last(self) -> Attempt:
        return self.attempts[-1]

    @property
    def program(self) -> str:
        return self.last.begun["program"]

    @property
    def job(self) -> str | None:
        """The Slurm job of the last attempt."""
        return self.last.begun.get("job")


def find_runs(folder: Path) -> Iterator[RunStatus]:
    """Every run at a folder or below it."""
    depth = len(folder.parts)
    for place, folders, files in os.walk(folder):
        path = Path(place)
        if JOURNAL in files and (attempts := read_attempts(path)):
            yield RunStatus(path, state_of(path, attempts), tuple(attempts), newest_progress(path))
        if len(path.parts) - depth >= DEPTH:
            folders.clear()


def state_of(folder: Path, attempts: list[Attempt]) -> str:
    """The end of the last attempt; one without an end goes on or was killed."""
    ended = attempts[-1].ended
    if is_running(folder):
        return "running"
    return ended["how"] if ended else "killed"


def newest_progress(folder: Path) -> RunProgress | None:
    """The progress that was written last, that of a round of the engine too."""
    places = [folder, *(path.parent for path in folder.glob("*/*/progress.json"))]
    found = [progress for progress in map(read_progress, places) if progress]
    return max(found, key=lambda progress: progress.at, default=None)


def told(run: RunStatus) -> Iterator[str]:
    """A line about a run; what an error said stands below it."""
    begun, ended = run.last.begun, run.last.ended
    until = ended["ended"] if ended and run.state != "running" else time.time()
    parts = [f"{run.state:8} {run.folder}: {run.program}"]
    if run.progress:
        parts.append(amount(run.progress, is_running=run.state == "running"))
    if run.state != "killed":
        lasted = duration(until - begun["started"])
        parts.append(f"{lasted} since its start" if run.state == "running" else f"took {lasted}")
    if len(run.attempts) > 1:
        parts.append(f"{len(run.attempts)} starts")
    parts.append(f"on {begun['host']}" + (f" in job {run.job}" if run.job else ""))
    yield ", ".join(parts)
    if run.state == "killed":
        yield f"  killed without a word (process {begun['pid']}): out of memory, or kill -9"
        yield f"  go on: {begun['command']}"
    elif ended and run.state in ("failed", "stopped", "waiting"):
        yield from (f"  {line}" for line in ended.get("error", "").splitlines())


def amount(progress: RunProgress, *, is_running: bool) -> str:
    """How much is done and, of a run that goes on, how long the rest takes."""
    share = progress.done / max(progress.total, 1)
    text = f"{progress.done} of {progress.total} {progress.unit} ({share:.0%})"
    left, silent = progress.seconds_left, time.time() - progress.at
    if is_running and left:
        text += f", {duration(max(left - silent, 0))} left"
    if is_running and silent > SILENT_S and progress.done < progress.total:
        text += f", silent for {duration(silent)}"
    return text


def duration(seconds: float) -> str:
    """45 s, 12 min, 3.5 h, 2.1 days."""
    for size, unit, digits in ((86400, "days", 1), (3600, "h", 1), (60, "min", 0)):
        if seconds >= 2 * size or (unit == "h" and seconds >= size):
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s"
