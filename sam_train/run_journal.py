"""The journal of a run's folder: when it began, with what, and how it ended.

A file of json lines, two for each attempt. It is locked while an attempt goes on; the system
releases it when the process dies, so an attempt without an end that holds no lock was killed.
"""

import fcntl
import json
import os
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException

from sam_train.data.store.durable import durable_file
from sam_train.origin import origin, packages

JOURNAL = "journal.jsonl"
PACKAGES = "packages.txt"
TOLD = (ValueError, OSError, InstantiationException)  # errors that are a sentence
BEGUN = {"started", "program", "command", "host", "pid"}  # what a line must hold
ENDED = {"ended", "how", "host", "pid"}
LAST_LINES = 6  # of the traceback of any other


class Waiting(ValueError):
    """The run has done its part, and goes on when others have done theirs."""


@dataclass(frozen=True)
class Attempt:
    """What the journal tells of one start of a run."""

    begun: Mapping[str, Any]  # program, command, host, pid, job, commit, ...
    ended: Mapping[str, Any] | None = None  # None: it goes on, or it was killed

    @property
    def process(self) -> tuple[str, int]:
        return self.begun["host"], self.begun["pid"]


@contextmanager
def journaled(folder: Path, *, program: str, **facts: Any) -> Iterator[None]:
    """Notes how a run begins and ends; the packages are written beside it.

    Several processes may share a folder. What cannot be written when a run ends is left out:
    the error that ended it is worth more.
    """
    with durable_file(folder / PACKAGES) as file:
        file.write(packages().encode())
    descriptor = os.open(folder / JOURNAL, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    begun = {"started": time.time(), "program": program, **facts, **origin()}
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        append(descriptor, begun)
        try:
            yield
        except BaseException as error:
            with suppress(OSError):
                append(descriptor, ending(error) | who(begun))
            raise
        append(descriptor, {"ended": time.time(), "how": "finished"} | who(begun))
    finally:
        os.close(descriptor)


def append(descriptor: int, line: Mapping[str, Any]) -> None:
    # A line break comes first: whoever wrote before may have died within its line.
    os.write(descriptor, f"\n{json.dumps(line)}".encode())


def who(begun: Mapping[str, Any]) -> dict[str, Any]:
    return {"host": begun["host"], "pid": begun["pid"]}


def ending(error: BaseException) -> dict[str, Any]:
    """How an attempt ended, and with which words: `stopped` by a signal or by hand, `waiting` for
    others, or `failed`."""
    code = error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 0
    if isinstance(error, KeyboardInterrupt) or code >= 128:
        number = f"signal {code - 128}" if code else "the keyboard"
        return {"ended": time.time(), "how": "stopped", "error": f"stopped by {number}"}
    if isinstance(error, TOLD):
        text = str(error.__cause__ or error) if isinstance(error, InstantiationException) else error
        how = "waiting" if isinstance(error, Waiting) else "failed"
        return {"ended": time.time(), "how": how, "error": str(text).partition("\n")[0]}
    lines = "".join(traceback.format_exception(error)).strip().splitlines()
    return {"ended": time.time(), "how": "failed", "error": "\n".join(lines[-LAST_LINES:])}


def read_attempts(folder: Path) -> list[Attempt]:
    """The attempts at a run, the oldest first; none where there is no journal."""
    attempts: dict[tuple[str, int, float], Attempt] = {}
    newest: dict[tuple[str, int], tuple[str, int, float]] = {}
    path = folder / JOURNAL
    for text in path.read_bytes().splitlines() if path.exists() else []:
        line: Any = None
        with suppress(ValueError):  # an empty line, or half of one: its writer died
            line = json.loads(text)
        if not isinstance(line, dict):
            continue
        process = (line.get("host", ""), line.get("pid", 0))
        if line.keys() >= BEGUN:
            newest[process] = (*process, line["started"])
            attempts[newest[process]] = Attempt(line)
        elif line.keys() >= ENDED and process in newest:
            attempts[newest[process]] = Attempt(attempts[newest[process]].begun, line)
    return list(attempts.values())


def is_running(folder: Path) -> bool:
    """Whether a process holds the journal now."""
    try:
        descriptor = os.open(folder / JOURNAL, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
