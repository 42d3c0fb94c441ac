"""How far a run is, in a small file that others read while it goes on."""

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sam_train.data.store.durable import durable_file

FILE = "progress.json"


@dataclass(frozen=True)
class RunProgress:
    """`done` of `total` at a time; `per_s` since this start, None if nothing was done since."""

    done: int
    total: int
    unit: str
    per_s: float | None
    at: float  # seconds since the epoch

    @property
    def seconds_left(self) -> float | None:
        return (self.total - self.done) / self.per_s if self.per_s else None


class ProgressFile:
    """Writes the progress of a run into its folder, at most every so many seconds."""

    def __init__(self, folder: Path, *, unit: str, every_s: float = 10.0) -> None:
        self.folder = folder
        self.unit = unit
        self.every_s = every_s
        self._begun: tuple[int, float] | None = None
        self._written = 0.0

    def show(self, done: int, total: int) -> None:
        """A disk that is full or slow does not end the run for this."""
        now = time.time()
        self._begun = self._begun or (done, now)
        if now - self._written < self.every_s and done < total:
            return
        self._written = now
        count, seconds = done - self._begun[0], now - self._begun[1]
        per_s = count / seconds if count > 0 and seconds > 0 else None
        content = asdict(RunProgress(done, total, self.unit, per_s, now))
        with suppress(OSError), durable_file(self.folder / FILE) as file:
            file.write(json.dumps(content).encode())


def read_progress(folder: Path) -> RunProgress | None:
    """What a run wrote last; None where it wrote nothing, or another program did."""
    try:
        return RunProgress(**json.loads((folder / FILE).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
