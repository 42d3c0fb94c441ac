"""What is done with samples that cannot be used: refuse, pass over, or list and count them."""

import fcntl
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

OnBad = Callable[[str, str, Exception], None]  # of a shard or set, a key, and what is wrong


def refuse(shard: str, key: str, error: Exception) -> None:
    """The `on_bad` of a reader that wants all or nothing."""
    raise ValueError(f"{shard}, {key or 'the whole file'}: {error}") from error


def pass_over(shard: str, key: str, error: Exception) -> None:
    """The `on_bad` of a reader whose bad samples are listed by another."""


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


def _entries(text: bytes) -> Iterator[dict[str, str]]:
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # half a line: its writer died, the sample will be found again
            continue
