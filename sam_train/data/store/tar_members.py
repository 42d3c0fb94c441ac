"""The members of a shard's tar, found by their headers alone."""

import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple, cast

from sam_train.data.records import BadSample
from sam_train.data.store.bad_samples import OnBad, refuse
from sam_train.data.store.hashed_files import SeekableFile
from sam_train.data.store.locations import Location

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"(\xb5/\xfd": "zstd"}
# What tarfile raises on headers that make no sense; a chain of long names is read recursively.
_DAMAGE = (tarfile.TarError, ValueError, OverflowError, RecursionError)


class TruncatedShard(BadSample):
    """A tar, or a member of it, that ends too early."""


class CompressedShard(BadSample):
    """A tar that would have to be unpacked before anything in it can be found."""


class RepeatedMember(BadSample):
    """A second image or a second json of a key; the first is used."""


class UnusableMember(BadSample):
    """A member whose name leads out of the folder, cannot be printed, or that has holes."""


class TarMember(NamedTuple):
    """Where an image (kind `.jpg`, whatever its suffix) or a record (`.json`) lies in a tar."""

    key: str
    kind: str
    offset: int
    size: int

    def read(self, file: SeekableFile) -> bytes:
        """The member's bytes, from its open tar."""
        file.seek(self.offset)
        content = file.read(self.size)
        if len(content) < self.size:
            raise TruncatedShard(f"{self.key}{self.kind} ends too early; fetch the tar again.")
        return content


def tar_members(path: Location, file: SeekableFile, on_bad: OnBad = refuse) -> Iterator[TarMember]:
    """The images and records of an open tar, in its order, each key and kind once.

    Other members are passed over. What cannot be used goes to `on_bad(path, key, error)`, with an
    empty key for the tar as a whole; what lies before the damage is yielded.
    """
    seen: set[tuple[str, str]] = set()
    for header in _headers(path, file, on_bad):
        name = PurePosixPath(header.name)
        kind = ".jpg" if name.suffix.lower() in _IMAGE_SUFFIXES else name.suffix
        if not header.isreg() or kind not in (".jpg", ".json"):
            continue
        member = TarMember(str(name.with_suffix("")), kind, header.offset_data, header.size)
        if name.is_absolute() or ".." in name.parts or not header.name.isprintable():
            error = UnusableMember(f"The name {header.name!a} is not that of a sample.")
            on_bad(str(path), ascii(member.key)[1:-1], error)
        elif header.issparse():
            on_bad(str(path), member.key, UnusableMember(f"{header.name} is stored with holes."))
        elif member[:2] in seen:
            on_bad(str(path), member.key, RepeatedMember(f"There are two {header.name}."))
        else:
            seen.add((member.key, kind))
            yield member


def _headers(path: Location, file: SeekableFile, on_bad: OnBad) -> Iterator[tarfile.TarInfo]:
    end = path.stat().st_size
    try:
        with _open_plain(file) as tar:
            while (header := _next_header(tar, end)) is not None:
                yield header
    except BadSample as error:
        on_bad(str(path), "", error)


def _open_plain(file: SeekableFile) -> tarfile.TarFile:
    start = file.read(6)
    for magic, name in _COMPRESSIONS.items():
        if start.startswith(magic):
            raise CompressedShard(f"It is compressed with {name}: unpack it to a plain .tar.")
    if not start:
        raise TruncatedShard("It has no bytes; fetch it again.")
    file.seek(0)
    try:
        return tarfile.open(fileobj=cast(BinaryIO, file), mode="r:")
    except _DAMAGE as error:
        raise TruncatedShard(f"Not a tar ({error}); fetch it again.") from error


def _next_header(tar: tarfile.TarFile, end: int) -> tarfile.TarInfo | None:
    """The next header, or None at the tar's end: zeros. tarfile takes any damage to be the end."""
    try:
        header = tar.next()
    except _DAMAGE as error:
        raise TruncatedShard(f"Not a whole tar ({error}); fetch it again.") from error
    if header is None:
        _require_end(tar)
        return None
    if header.size < 0 or header.offset_data + header.size > end:
        raise TruncatedShard(f"Not a whole tar (it ends inside {header.name!a}); fetch it again.")
    forget_headers(tar)
    return header


def _require_end(tar: tarfile.TarFile) -> None:
    tar.fileobj.seek(tar.offset)
    block = tar.fileobj.read(tarfile.BLOCKSIZE)
    if block.strip(b"\0"):
        raise TruncatedShard(f"A header at byte {tar.offset} is damaged; fetch the tar again.")
    if len(block) < tarfile.BLOCKSIZE:
        raise TruncatedShard("Not a whole tar (its end mark is missing); fetch it again.")


def forget_headers(tar: tarfile.TarFile) -> None:
    """Keeps a tar that is read or written in order from holding all its headers in memory."""
    tar.members.clear()  # type: ignore[attr-defined]
