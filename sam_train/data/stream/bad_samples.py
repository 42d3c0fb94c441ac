"""The list of samples that could not be used: found once, written down, counted."""

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

FEWEST = 100  # samples of which a share is taken


class BadSampleLog:
    """Appends one json line {shard, key, kind, error} for each bad sample; pass it as `on_bad`.

    Any number of processes may share the file. A sample that is met again, by whichever of
    them, is not written again. An empty key stands for the whole shard.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: set[tuple[str, str]] = set()
        self._read_to = 0

    def __call__(self, shard: str, key: str, error: Exception) -> None:
        """Writes the sample down unless it is in the list."""
        if (shard, key) in self._seen:
            return
        entry = {"shard": shard, "key": key, "kind": type(error).__name__, "error": str(error)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # closing releases it
            self._catch_up(descriptor)
            if (shard, key) not in self._seen:
                os.write(descriptor, f"{json.dumps(entry)}\n".encode())
        finally:
            os.close(descriptor)

    def counts(self) -> dict[str, int]:
        """How many samples are listed, by kind."""
        text = self.path.read_bytes() if self.path.exists() else b""
        return dict(Counter(entry["kind"] for entry in _entries(text)))

    def _catch_up(self, descriptor: int) -> None:
        """Learns what other processes wrote; ends a line that one of them died in."""
        text = os.pread(descriptor, os.fstat(descriptor).st_size - self._read_to, self._read_to)
        if text and not text.endswith(b"\n"):
            text += b"\n"
            os.write(descriptor, b"\n")
        self._read_to += len(text)
        self._seen.update((entry["shard"], entry["key"]) for entry in _entries(text))


class BadShare:
    """Ends a run that draws too many bad samples, repeated ones counted."""

    def __init__(self, max_share: float, *, listed_in: Path) -> None:
        self.max_share = max_share
        self.listed_in = listed_in
        self.used = self.bad = 0

    def add(self, *, used: int, bad: int) -> None:
        """Raises ValueError when the share passes its limit; a few samples are no share yet."""
        self.used += used
        self.bad += bad
        drawn = self.used + self.bad
        if drawn >= FEWEST and self.bad > self.max_share * drawn:
            raise ValueError(
                f"{self.bad} of {drawn} images drawn cannot be used, more than max_bad_share="
                f"{self.max_share}; {self.listed_in} says why: mend or leave out those shards."
            )


def _entries(text: bytes) -> Iterator[dict[str, str]]:
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # half a line: its writer died, the sample will be found again
            continue
