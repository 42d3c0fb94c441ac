"""Shards: tars of KEY.jpg and KEY.json, as SA-1B publishes them, and json-only layers over them."""

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from sam_train.data.durable import durable_file, file_sha256
from sam_train.data.records import BadSample, Record, Sample, parse_record, validate_record

OnBad = Callable[[str, str, Exception], None]  # of a shard or set, a key, and what is wrong

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


class MissingPartner(BadSample):
    """An image without a json, or a json without an image."""


class TruncatedShard(BadSample):
    """A tar, or a member of it, that ends too early."""


@dataclass(frozen=True)
class ShardStats:
    """What a tar holds."""

    sha256: str
    bytes: int
    sample_count: int
    mask_count: int


@dataclass(frozen=True)
class _Member:
    """A file inside an open tar."""

    file: BinaryIO
    offset: int
    size: int

    def read(self) -> bytes:
        self.file.seek(self.offset)
        return self.file.read(self.size)


def write_shard(path: Path, samples: Iterable[Sample]) -> ShardStats:
    """Writes images and records, each pair adjacent; the same samples give the same bytes.

    The shard appears under its name only when it is whole. A record that does not hold up
    raises ValueError.
    """
    return _write_tar(
        path,
        ((sample.key, sample.record, {".jpg": sample.image_bytes}) for sample in samples),
    )


def write_annotations(path: Path, records: Iterable[tuple[str, Record]]) -> ShardStats:
    """Writes a layer: only KEY.json, each with all current masks of its image."""
    return _write_tar(path, ((key, record, {}) for key, record in records))


def _write_tar(path: Path, entries: Iterable[tuple[str, Record, dict[str, bytes]]]) -> ShardStats:
    keys: set[str] = set()
    mask_count = 0
    with durable_file(path) as file, tarfile.open(fileobj=file, mode="w") as tar:
        for key, record, members in entries:
            _check_key(key, keys)
            try:
                validate_record(record)
            except ValueError as error:
                raise ValueError(f"{path.name}, {key}: {error}") from error
            text = json.dumps(record, separators=(",", ":")).encode()
            for suffix, content in (members | {".json": text}).items():
                # The defaults of TarInfo (time 0, owner 0) keep the bytes the same every time.
                header = tarfile.TarInfo(key + suffix)
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))
            keys.add(key)
            mask_count += len(record["annotations"])
    return ShardStats(file_sha256(path), path.stat().st_size, len(keys), mask_count)


def _check_key(key: str, keys: set[str]) -> None:
    if not key or "." in key or "/" in key:
        raise ValueError(f"The key {key!r} cannot name a tar member: leave out dots and slashes.")
    if key in keys:
        raise ValueError(f"The key {key!r} occurs twice in one shard; keys must be unique.")


def shard_stats(path: Path) -> ShardStats:
    """Reads what an earlier `write_shard` or `write_annotations` returned back from its tar."""
    with path.open("rb") as file:
        members = _members(path, file, _refuse)
        records = [parse_record(m[".json"].read()) for m in members.values() if ".json" in m]
    mask_count = sum(len(record["annotations"]) for record in records)
    return ShardStats(file_sha256(path), path.stat().st_size, len(members), mask_count)


def read_shard(
    path: Path, annotations: Path | None = None, *, on_bad: OnBad | None = None
) -> Iterator[Sample]:
    """The samples of a shard in the order of its images, with the records of a layer if given.

    A key that the layer lacks keeps the record beside its image. Published SA-1B tars are read
    as they are: `./` prefix, any order of members. What cannot be used goes to
    `on_bad(shard, key, error)`, with an empty key for a whole tar; without it, ValueError.
    """
    on_bad = _refuse if on_bad is None else on_bad
    with ExitStack() as files:
        members = _members(path, files.enter_context(path.open("rb")), on_bad)
        if annotations:
            layer = _members(annotations, files.enter_context(annotations.open("rb")), on_bad)
            for key in layer.keys() - members.keys():
                on_bad(str(annotations), key, MissingPartner(f"{path.name} has no such image."))
            for key in layer.keys() & members.keys():
                members[key] |= layer[key]
        for key, parts in members.items():
            try:
                sample = _sample(key, parts)
            except BadSample as error:
                on_bad(str(path), key, error)
            else:
                yield sample


def _refuse(shard: str, key: str, error: Exception) -> None:
    raise ValueError(f"{shard}, {key or 'the whole file'}: {error}") from error


def _sample(key: str, parts: dict[str, _Member]) -> Sample:
    for kind in (".jpg", ".json"):
        if kind not in parts:
            raise MissingPartner(f"There is no {key}{kind}.")
    return Sample(key, parts[".jpg"].read(), parse_record(parts[".json"].read()))


def _members(path: Path, file: BinaryIO, on_bad: OnBad) -> dict[str, dict[str, _Member]]:
    """The headers of a tar: its keys in order, with their parts by kind (.jpg, .json)."""
    members: dict[str, dict[str, _Member]] = {}
    end = path.stat().st_size
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for header in tar:
                if header.offset_data + header.size > end:
                    raise tarfile.ReadError(f"it ends inside {header.name}")
                name = PurePosixPath(header.name)
                kind = ".jpg" if name.suffix.lower() in _IMAGE_SUFFIXES else name.suffix
                if header.isfile() and kind in (".jpg", ".json"):
                    parts = members.setdefault(str(name.with_suffix("")), {})
                    parts[kind] = _Member(file, header.offset_data, header.size)
        # A tar ends in zeros; tarfile takes any other damage to be the end, too.
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError(f"a header at byte {tar.offset} is damaged")
    except tarfile.TarError as error:
        on_bad(str(path), "", TruncatedShard(f"Not a whole tar ({error}); fetch it again."))
    return members
