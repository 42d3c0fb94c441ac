"""What is wrong with a running server, in sentences."""

import shutil

from sqlalchemy.exc import SQLAlchemyError

from data_engine.people.store import Store

LOW_DISK_BYTES = 200_000_000


def problems(store: Store) -> list[str]:
    """Everything that somebody should look after; empty if all is well."""
    found = []
    free = shutil.disk_usage(store.path.parent).free
    if free < LOW_DISK_BYTES:
        found.append(f"only {free / 1e6:.0f} MB are free under {store.path.parent}: make room")
    try:
        store.check_writable()
        unusable = store.unusable()
    except SQLAlchemyError as error:
        return [*found, f"{store.path} cannot be written: {str(error).splitlines()[0]}"]
    found += [f"{image.key} is left out: {image.reason}" for image in unusable]
    return found
