"""The folder of a run: one process at a time, and one config for what is in it."""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def locked(folder: Path, *, patience_s: float = 5.0) -> Iterator[None]:
    """Holds the folder for this process. The system releases it when the process dies.

    The processes that a killed run had forked hold it a moment longer, hence the patience.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "run.lock", os.O_RDWR | os.O_CREAT)
    try:
        deadline = time.monotonic() + patience_s
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise ValueError(
                    f"another run is working in {folder}: wait for it, end it, or choose another "
                    "output_dir"
                )
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Whether a process holds the folder now."""
    try:
        descriptor = os.open(folder / "run.lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def config_sha256(config: Mapping[str, Any], *, free: Collection[str]) -> str:
    """The hash of what decides about the results, as it stands in config.yaml."""
    return hashlib.sha256(json.dumps(decisive(config, free), sort_keys=True).encode()).hexdigest()


def decisive(config: Mapping[str, Any], free: Collection[str]) -> dict[str, Any]:
    """The config as it is read back from a file, without the free keys."""
    plain = json.loads(json.dumps(dict(config)))
    return {key: value for key, value in plain.items() if key not in free}


def require_same(before: Mapping[str, Any], now: Mapping[str, Any], *, folder: Path) -> None:
    """Raises a ValueError that names the first key in which a config differs from the folder's."""
    changed = _first_difference(before, now)
    if changed is not None:
        key, old, new = changed
        raise ValueError(
            f"{folder} holds a run with {key}={old}, this one has {key}={new}: "
            "choose another output_dir or take the value back"
        )


def _first_difference(before: Any, now: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The dotted key of the first value that differs, with both values; None if all agree."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in [*before, *(name for name in now if name not in before)]:
            inner = f"{key}.{name}" if key else str(name)
            found = _first_difference(before.get(name), now.get(name), inner)
            if found is not None:
                return found
        return None
    return None if before == now else (key, before, now)
