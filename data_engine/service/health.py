"""What is wrong with a running server, in sentences."""

import shutil
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from data_engine.people.store import Store

LOW_DISK_BYTES = 200_000_000


def problems(store: Store, folder: Path) -> list[str]:
    """Everything that somebody should look after; empty if all is well."""
    found = []
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < LOW_DISK_BYTES:
        found.append(f"only {free / 1e6:.0f} MB are free under {folder}: make room")
    try:
        store.check_writable()
        unusable = store.unusable()
    except SQLAlchemyError as error:
        return [*found, f"{store.name} cannot be written: {str(error).splitlines()[0]}"]
    found += [f"{task.image} is left out: {task.reason}" for task in unusable]
    return found
