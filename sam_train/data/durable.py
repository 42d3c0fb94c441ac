"""Files that are either whole or not there, whenever the process dies."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def durable_file(path: Path, *, replace: bool = True) -> Iterator[BinaryIO]:
    """Opens `NAME.partial` for writing; on success it is on the disk and has become `path`.

    Nothing is left behind on an error. With `replace=False` an existing file raises
    FileExistsError, even if another process made it in this moment. A full disk is one sentence.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Racing writers of a name that may not be replaced must not share a partial file.
    partial = path.with_name(f"{path.name}{'' if replace else f'.{os.getpid()}'}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if replace:
            partial.replace(path)
        else:
            os.link(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise OSError(
                f"{path} could not be written ({error.strerror}): make room and run again; "
                f"nothing was left behind."
            ) from error
        raise
    finally:
        partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file of any size, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
