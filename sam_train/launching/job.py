"""A job of a sweep: a command with a folder of its own, and what became of it."""

import json
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from sam_train.data.store.durable import durable_file

State = Literal["waiting", "running", "finished", "failed", "interrupted", "pruned"]

# What a run is asked to stop with, by a person or a scheduler; it saves first.
STOPS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


@dataclass(frozen=True)
class Job:
    """A command that works in `folder`, and goes on there when it is given again."""

    name: str
    folder: Path
    command: tuple[str, ...]


@dataclass(frozen=True)
class JobRecord:
    """What `job.json` in the folder of a job says; `reason` is why it is not finished."""

    command: Sequence[str]
    state: State
    reason: str | None = None
    attempts: int = 0
    seconds: float = 0.0


def write_record(folder: Path, record: JobRecord) -> None:
    with durable_file(folder / "job.json") as file:
        file.write(json.dumps(asdict(record), indent=1).encode())


def read_record(folder: Path) -> JobRecord | None:
    """What was noted of a job; None where there was none, or `job.json` is another program's."""
    try:
        return JobRecord(**json.loads((folder / "job.json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def is_finished(job: Job) -> bool:
    """Whether this very command has come to its end in the job's folder."""
    record = read_record(job.folder)
    ended = record is not None and record.state in ("finished", "pruned")
    return ended and record.command == list(job.command)


def state_of(status: int) -> State:
    """What the exit status of a job's process says; negative ones are signals."""
    if status == 0:
        return "finished"
    asked = {-number for number in STOPS} | {128 + number for number in STOPS}
    return "interrupted" if status in asked else "failed"


def reason_of(status: int, log: Path) -> str | None:
    """Why a process did not finish: the signal that ended it, or its last line."""
    if status == 0:
        return None
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    if state_of(status) == "interrupted":
        return f"stopped by {signal.Signals(status - 128).name} after a checkpoint"
    lines = tail(log).strip().splitlines()
    return lines[-1].strip() if lines else f"exit status {status} without a word"


def tail(log: Path, size: int = 4096) -> str:
    """The end of a file of any length."""
    with log.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - size))
        return file.read().decode(errors="replace")
