"""A claim on a shard: one worker at a time, and a journal of what became of its attempts.

The journal is a file of json lines beside the shard's stats. It is locked while a worker is at
the shard; the system releases it when the worker dies. It goes when the shard is finished.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_engine.executors.failures import FINAL

STOPPED = "stopped"  # in order: the next attempt may end otherwise


@dataclass
class Attempt:
    """What the journal tells of one worker's attempt at a shard."""

    worker: str
    started: float  # seconds since the epoch
    image: str | None = None  # the one that was begun last
    images: int = 0  # begun
    masks: int = 0  # found before that image
    ended: str | None = None  # why; None: it goes on, or its worker was killed


class Claim:
    """The locked journal of a shard."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._suspects = {a.image for a in read_attempts(path) if a.ended != STOPPED}

    def begin(self, image: str, *, masks: int) -> bool:
        """Notes that an image is begun; returns whether a worker was killed or failed at it."""
        self.write({"image": image, "masks": masks})
        return image in self._suspects

    def write(self, line: dict[str, Any]) -> None:
        # A line break comes first: whoever wrote before may have died within its line.
        os.write(self._descriptor, f"\n{json.dumps(line)}".encode())


@contextmanager
def claimed(path: Path) -> Iterator[Claim]:
    """Holds the shard of a journal for this worker; waits while another has it.

    An error leaves the journal, with its reason, for the next attempt.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        claim = Claim(descriptor, path)
        claim.write({"worker": worker_name(), "started": time.time()})
        try:
            yield claim
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            claim.write({"ended": ending(error)})
            raise
        path.unlink(missing_ok=True)
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # forked processes may have it open too
        os.close(descriptor)


def ending(error: BaseException) -> str:
    """Why an attempt ended; what ends the whole run is not the image's fault."""
    if isinstance(error, FINAL) or not isinstance(error, Exception):
        return STOPPED
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def read_attempts(path: Path) -> list[Attempt]:
    """The attempts at a shard that is not finished, the oldest first."""
    attempts: list[Attempt] = []
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    for text in lines:
        line: dict[str, Any] = {}
        with suppress(ValueError):  # an empty line, or half of one: its writer died
            line = json.loads(text)
        if "worker" in line:
            attempts.append(Attempt(line["worker"], line["started"]))
        elif "image" in line:
            attempt = attempts[-1]
            attempt.image, attempt.masks = line["image"], line["masks"]
            attempt.images += 1
        elif "ended" in line:
            attempts[-1].ended = line["ended"]
    return attempts


def is_held(path: Path) -> bool:
    """Whether a worker has the shard of this journal now."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
