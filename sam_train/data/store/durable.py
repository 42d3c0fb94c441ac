"""Files that are either whole or not there, whenever the process dies."""

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sam_train.data.store.locations import Location

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PATIENCE_S = 5.0  # what a killed command had forked may hold a file a moment longer


@contextmanager
def durable_file(path: Path, *, replace: bool = True) -> Iterator[BinaryIO]:
    """Opens `NAME.partial` for writing; on success it is on the disk and has become `path`.

    Nothing is left behind on an error; what a killed process left is overwritten. One process
    writes at a time, another waits a moment and is then refused with OSError. With
    `replace=False` an existing file raises FileExistsError. A full disk is one sentence.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with _open_alone(partial) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if replace:
                    partial.replace(path)  # last: from here on the name is free for other writers
                else:
                    os.link(partial, path)  # fails where the name is taken
                    partial.unlink()
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise OSError(
                f"{path} could not be written ({error.strerror}): make room and run again; "
                f"nothing was left behind."
            ) from error
        raise


def _open_alone(partial: Path) -> BinaryIO:
    """Opens the file empty, and locked until it is closed or its process dies."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT, 0o644)
        if _lock(descriptor, partial):
            os.ftruncate(descriptor, 0)
            return os.fdopen(descriptor, "wb")
        os.close(descriptor)
        if time.monotonic() > deadline:
            raise OSError(f"Another process is writing {partial}: wait for it or end it.")
        time.sleep(0.02)


def _lock(descriptor: int, partial: Path) -> bool:
    """Whether the file is ours now, and no finished file."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = partial.stat()
    except (BlockingIOError, FileNotFoundError):
        return False
    if not os.path.samestat(os.fstat(descriptor), found):  # renamed by its writer meanwhile
        return False
    if found.st_nlink > 1:  # its writer was killed right after it had linked the finished file
        partial.unlink()
        return False
    return True


def rename_durably(partial: Path, path: Path) -> None:
    """Gives a file that others have written its name, when all of it is on the disk."""
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Location) -> str:
    """The SHA-256 of a file of any size, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
