"""Files whose SHA-256 is computed while they are read or written anyway."""

import hashlib
from typing import BinaryIO, Protocol, runtime_checkable

_CHUNK = 1 << 20


@runtime_checkable
class SeekableFile(Protocol):
    """What reading a tar asks of an open file."""

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...


class HashedReader:
    """Reads a file and hashes each of its bytes once, those between two reads as well."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._hashed = 0

    def read(self, size: int = -1) -> bytes:
        start = self._file.tell()
        if start > self._hashed:
            self._hash_to(start)
            self._file.seek(start)
        content = self._file.read(size)
        self._sha256.update(memoryview(content)[self._hashed - start :])
        self._hashed = max(self._hashed, start + len(content))
        return content

    def seek(self, position: int, whence: int = 0) -> int:
        return self._file.seek(position, whence)

    def tell(self) -> int:
        return self._file.tell()

    def sha256(self) -> tuple[str, int]:
        """The hash of the whole file and its size; reads what has not been read yet."""
        self._hash_to(None)
        return self._sha256.hexdigest(), self._hashed

    def _hash_to(self, end: int | None) -> None:
        self._file.seek(self._hashed)
        while content := self._file.read(
            _CHUNK if end is None else min(_CHUNK, end - self._hashed)
        ):
            self._sha256.update(content)
            self._hashed += len(content)


class HashedWriter:
    """Writes a file from its start to its end and hashes what goes through."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._written = 0

    def write(self, content: bytes) -> int:
        self._sha256.update(content)
        self._written += len(content)
        return self._file.write(content)

    def tell(self) -> int:
        return self._written

    def sha256(self) -> tuple[str, int]:
        """The hash of what was written, and its size."""
        return self._sha256.hexdigest(), self._written
