"""How far a phase is and how fast, read from its folder alone."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_engine.phases.claim import Attempt, is_held, read_attempts
from data_engine.run_folder import read_json, write_json

logger = logging.getLogger(__name__)

SHARDS = "shards.json"  # how many images each shard of the phase has


@dataclass(frozen=True)
class Speed:
    """What a worker has done so far in its shards of this phase."""

    images: int
    masks: int
    seconds: float

    def __str__(self) -> str:
        seconds = max(self.seconds, 1e-9)
        return f"{self.images / seconds:.3g} images/s, {self.masks / seconds:.3g} masks/s"


@dataclass(frozen=True)
class Progress:
    """The shards of a phase: `finished` with their stats, begun ones with their attempts."""

    images: Mapping[str, int]
    finished: Mapping[str, dict[str, Any]]
    running: Mapping[str, Attempt]
    interrupted: Mapping[str, list[Attempt]]
    now: float  # seconds since the epoch

    @property
    def done(self) -> int:
        """The images of finished shards and those behind the workers."""
        begun = sum(max(attempt.images - 1, 0) for attempt in self.running.values())
        return sum(stats["images"] for stats in self.finished.values()) + begun

    @property
    def total(self) -> int:
        return sum(self.images.values())

    def speeds(self) -> dict[str, Speed]:
        """By worker, of those that are working."""
        parts = defaultdict(list)
        for stats in self.finished.values():
            parts[stats["worker"]].append((stats["images"], stats["masks"], stats["seconds"]))
        for attempt in self.running.values():
            images, seconds = max(attempt.images - 1, 0), self.now - attempt.started
            parts[attempt.worker].append((images, attempt.masks, seconds))
        working = {attempt.worker for attempt in self.running.values()}
        return {name: Speed(*map(sum, zip(*parts[name], strict=True))) for name in sorted(working)}

    def __str__(self) -> str:
        text = f"{self.done}/{self.total} images ({self.done / max(self.total, 1):.0%})"
        if not (speeds := self.speeds()):
            return text
        each = list(speeds.values())
        images, masks = (
            sum(getattr(speed, kind) / max(speed.seconds, 1e-9) for speed in each)
            for kind in ("images", "masks")
        )
        left = f", {(self.total - self.done) / images:.0f} s left" if images else ""
        workers = "; ".join(f"{name} {speed}" for name, speed in list(speeds.items())[:8])
        return f"{text}, {images:.3g} images/s, {masks:.3g} masks/s{left} ({workers})"


class ProgressReader:
    """Reads the folder of a phase; what is finished only once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._finished: dict[str, dict[str, Any]] = {}

    def read(self) -> Progress:
        images: dict[str, int] = read_json(self.folder / SHARDS)
        names = {path.name for path in self.folder.iterdir()}
        running, interrupted = {}, {}
        for shard in images:
            if shard in self._finished:
                continue
            if f"{shard}.stats.json" in names:
                self._finished[shard] = read_json(self.folder / f"{shard}.stats.json")
            elif f"{shard}.claim" in names:
                path = self.folder / f"{shard}.claim"
                held, attempts = is_held(path), read_attempts(path)
                if held and attempts:
                    running[shard] = attempts[-1]
                elif attempts:
                    interrupted[shard] = attempts
        return Progress(images, dict(self._finished), running, interrupted, time.time())


@contextmanager
def shown_progress(
    folder: Path, images: Mapping[str, int], *, name: str, every_s: float = 10.0
) -> Iterator[None]:
    """Logs a line about the phase again and again, and one when it ends."""
    write_json(folder / SHARDS, dict(images))
    reader, ended, pause = ProgressReader(folder), threading.Event(), every_s

    def show() -> None:
        nonlocal pause
        while not ended.wait(pause):
            started = time.monotonic()
            logger.info(f"{name}: {reader.read()}")
            pause = max(every_s, 20 * (time.monotonic() - started))  # reading costs 5 % at most

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        logger.info(f"{name}: {reader.read()}")
