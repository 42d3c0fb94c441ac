"""New datasets made of others, by commands that may be interrupted and given again."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from sam_train.data.store.durable import durable_file
from sam_train.data.store.locations import location
from sam_train.data.store.manifest import Dataset, Manifest, ShardEntry


class Version(NamedTuple):
    """One version of one dataset."""

    dataset: Dataset
    manifest: Manifest


def read_version(name: str) -> Version:
    """Reads DATASET, DATASET@NUMBER or DATASET@TAG."""
    folder, at, version = name.rpartition("@")
    if not at or "/" in version:  # the @ of a URL
        folder, version = name, "latest"
    dataset = Dataset(location(folder))
    return Version(dataset, dataset.read(version))


def copy_once(
    output: Path,
    command: str,
    sources: Sequence[Version],
    make_entries: Callable[[], Sequence[ShardEntry]],
) -> Manifest:
    """Commits the only version of a new dataset, unless the same command did so before.

    `made_from.json` says what the folder is made of; another command for it is refused.
    """
    made_from = {
        "command": command,
        "sources": [f"{s.dataset.root.absolute()}@{s.manifest.version}" for s in sources],
        "created": [s.manifest.created for s in sources],
    }
    path, dataset = output / "made_from.json", Dataset(output)
    if not path.exists() and output.exists() and any(output.iterdir()):
        raise ValueError(f"{output} is not empty: name a new folder.")
    if not path.exists():
        with durable_file(path) as file:
            file.write(json.dumps(made_from, indent=1).encode())
    elif json.loads(path.read_bytes()) != made_from:
        raise ValueError(f"{output} is made of other versions ({path}): name a new folder.")
    if dataset.versions():
        return dataset.read()
    phase = sources[-1].manifest.phase
    return dataset.commit(make_entries(), parent=None, phase=phase, round=0)
