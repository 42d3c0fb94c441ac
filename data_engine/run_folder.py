"""The folder of a run: one process at a time, one config for its whole life, whole files only."""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from sam_train.data.store.durable import durable_file

# What may differ when a run goes on: where and how fast it runs, not what it makes.
FREE_KEYS = {"executor", "output_dir"}


def write_json(path: Path, content: Any) -> None:
    """Writes a whole file or none."""
    with durable_file(path) as file:
        file.write(json.dumps(content, indent=1).encode())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


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


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def config_sha256(config: Mapping[str, Any]) -> str:
    """The hash of what decides about the results."""
    return hashlib.sha256(json.dumps(_decisive(config), sort_keys=True).encode()).hexdigest()


def claim(folder: Path, config: Mapping[str, Any], command: str) -> str:
    """Writes config.yaml and command.txt, or checks that a run goes on with its own config.

    Returns the hash of the config. Another config raises a ValueError that names the first
    key that differs; before there is a dataset, nothing depends on the config yet.
    """
    path = folder / "config.yaml"
    if path.exists() and (folder / "dataset").exists():
        changed = first_difference(_decisive(yaml.safe_load(path.read_text())), _decisive(config))
        if changed is not None:
            key, before, now = changed
            raise ValueError(
                f"{folder} holds a run with {key}={before}, this one has {key}={now}: "
                "choose another output_dir or take the value back"
            )
    else:
        for name, text in (
            ("command.txt", command + "\n"),
            ("config.yaml", yaml.safe_dump(dict(config), sort_keys=False)),
        ):
            with durable_file(folder / name) as file:
                file.write(text.encode())
    return config_sha256(config)


def first_difference(before: Any, now: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The dotted key of the first value that differs, with both values; None if all agree."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in [*before, *(name for name in now if name not in before)]:
            inner = f"{key}.{name}" if key else str(name)
            found = first_difference(before.get(name), now.get(name), inner)
            if found is not None:
                return found
        return None
    return None if before == now else (key, before, now)


def _decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config as it is read back from a file, without the free keys."""
    plain = json.loads(json.dumps(dict(config)))
    return {key: value for key, value in plain.items() if key not in FREE_KEYS}
