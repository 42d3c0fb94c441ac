"""Shards: tars of KEY.jpg and KEY.json, as SA-1B publishes them, and json-only layers over them."""

import io
import json
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from sam_train.data.records import BadSample, Record, Sample, usable_record, validate_record
from sam_train.data.store.bad_samples import OnBad, refuse
from sam_train.data.store.durable import durable_file
from sam_train.data.store.hashed_files import HashedWriter
from sam_train.data.store.locations import Location
from sam_train.data.store.shard_index import (
    IndexRows,
    MissingPartner,
    ShardIndex,
    current_masks,
    ensure_index,
    index_path,
    save_index,
)
from sam_train.data.store.tar_members import TarMember, forget_headers, tar_members


@dataclass(frozen=True)
class ShardStats:
    """What a tar holds."""

    sha256: str
    bytes: int
    sample_count: int
    mask_count: int


class EncodedSample(NamedTuple):
    """A sample as the bytes of its members, `.jpg` before `.json`."""

    key: str
    members: Mapping[str, bytes]
    mask_count: int


def write_shard(path: Path, samples: Iterable[Sample]) -> ShardStats:
    """Writes images and records, each pair adjacent; the same samples give the same bytes.

    The shard appears under its name only when it is whole, and after it its index. A record
    that does not hold up raises ValueError.
    """
    return write_encoded(
        path, (_encoded(path, s.key, s.record, {".jpg": s.image_bytes}) for s in samples)
    )


def write_annotations(path: Path, records: Iterable[tuple[str, Record]]) -> ShardStats:
    """Writes a layer: only KEY.json, each with all current masks of its image."""
    return write_encoded(path, (_encoded(path, key, record, {}) for key, record in records))


def write_encoded(path: Path, samples: Iterable[EncodedSample]) -> ShardStats:
    """Writes a tar and its index from samples that were checked before."""
    rows, keys = IndexRows(), set[str]()
    index_path(path).unlink(missing_ok=True)  # of an earlier tar of this name
    with durable_file(path) as raw:
        file = HashedWriter(raw)
        with tarfile.open(fileobj=cast(BinaryIO, file), mode="w") as tar:
            for key, members, mask_count in samples:
                _check_key(key, keys)
                for kind, content in members.items():
                    # The defaults of TarInfo (time 0, owner 0) keep the bytes the same every time.
                    header = tarfile.TarInfo(key + kind)
                    header.size = len(content)
                    tar.addfile(header, io.BytesIO(content))
                    offset = tar.offset - -(-len(content) // 512) * 512
                    rows.add(key, kind, offset, content, mask_count if kind == ".json" else 0)
                forget_headers(tar)
    index = rows.index(*file.sha256())
    save_index(index, path)
    return _stats(index)


def _encoded(path: Path, key: str, record: Record, members: dict[str, bytes]) -> EncodedSample:
    try:
        validate_record(record)
    except ValueError as error:
        raise ValueError(f"{path.name}, {key}: {error}") from error
    text = json.dumps(record, separators=(",", ":")).encode()
    return EncodedSample(key, members | {".json": text}, len(record["annotations"]))


def _check_key(key: str, keys: set[str]) -> None:
    if not key or "." in key or "/" in key or not key.isprintable():
        raise ValueError(f"The key {key!r} cannot name a tar member: leave out dots and slashes.")
    if key in keys:
        raise ValueError(f"The key {key!r} occurs twice in one shard; keys must be unique.")
    keys.add(key)


def _stats(index: ShardIndex) -> ShardStats:
    return ShardStats(index.sha256, index.size, len(index.keys), sum(index.masks().values()))


def read_shard(
    path: Location,
    annotations: Location | None = None,
    *,
    skip: Collection[str] = (),
    on_bad: OnBad = refuse,
) -> Iterator[Sample]:
    """Streams the samples of a shard, with the records of a layer if one is given.

    A sample comes when both of its parts have been met, always in the same order. A key that the
    layer lacks keeps the record beside its image; keys to `skip` (quarantined ones) are passed
    over. Published SA-1B tars are read as they are: `./` prefix, any order of members. What
    cannot be used goes to `on_bad(shard, key, error)`, with an empty key for a whole tar;
    without it, ValueError.
    """
    for key, image, text in read_pairs(path, annotations, skip=skip, on_bad=on_bad):
        try:
            sample = Sample(key, image, usable_record(text))
        except BadSample as error:
            on_bad(str(path), key, error)
        else:
            yield sample


def read_pairs(
    path: Location,
    annotations: Location | None = None,
    *,
    skip: Collection[str] = (),
    on_bad: OnBad = refuse,
) -> Iterator[tuple[str, bytes, bytes]]:
    """The samples of `read_shard` as (key, image, json), the json not looked at."""
    skip = frozenset(skip)
    with ExitStack() as files:
        file = files.enter_context(path.open("rb"))
        layer: dict[str, TarMember] = {}
        if annotations is not None:
            layer_file = files.enter_context(annotations.open("rb"))
            members = tar_members(annotations, layer_file, on_bad)
            layer = {m.key: m for m in members if m.kind == ".json" and m.key not in skip}
        unmet = set(layer)
        waiting: dict[str, TarMember] = {}
        for member in tar_members(path, file, on_bad):
            key, kind = member.key, member.kind
            if key in skip or (kind == ".json" and key in layer):
                continue
            if key in layer:
                unmet.discard(key)
                yield key, member.read(file), layer[key].read(layer_file)
            elif key in waiting:
                parts = {kind: member, waiting[key].kind: waiting.pop(key)}
                yield key, parts[".jpg"].read(file), parts[".json"].read(file)
            else:
                waiting[key] = member
    for key, member in waiting.items():
        missing = ".json" if member.kind == ".jpg" else ".jpg"
        on_bad(str(path), key, MissingPartner(f"There is no {key}{missing}."))
    for key in sorted(unmet):
        on_bad(str(annotations), key, MissingPartner(f"{path.name} has no such image."))


class IndexedShard:
    """The samples of a shard by key, in any order, through the indexes of its tars.

    An index that is missing is built, and kept if the shard is on this machine. Other arguments
    as in `read_shard`; a sample that cannot be used raises a BadSample, an unknown key KeyError.
    """

    def __init__(
        self,
        path: Location,
        annotations: Location | None = None,
        *,
        skip: Collection[str] = (),
        on_bad: OnBad = refuse,
    ) -> None:
        self._tar, self._layer = path, annotations
        self._index = ensure_index(path, on_bad)
        self._layer_index = None if annotations is None else ensure_index(annotations, on_bad)
        skip = frozenset(skip)
        has_image = self._index.rows["image_offset"] > 0
        pairs = zip(self._index.keys, has_image, strict=True)
        self.keys = [key for key, image in pairs if image and key not in skip]
        self._known = frozenset(self.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def mask_counts(self) -> dict[str, int]:
        """The current number of masks of every image, from the indexes alone."""
        masks = current_masks(self._index, self._layer_index)
        return {key: masks[key] for key in self.keys}

    def __getitem__(self, key: str) -> Sample:
        return Sample(key, self.image_bytes(key), self.record(key))

    def image_bytes(self, key: str) -> bytes:
        """The image as it is stored; its record is not read."""
        self._require(key)
        return self._index.read(self._tar, key, "image")

    def record(self, key: str) -> Record:
        """The current record of an image; the image is not read."""
        self._require(key)
        if self._layer is not None and self._layer_index is not None and key in self._layer_index:
            return usable_record(self._layer_index.read(self._layer, key, "record"))
        return usable_record(self._index.read(self._tar, key, "record"))

    def _require(self, key: str) -> None:
        if key not in self:
            raise KeyError(f"{self._tar} has no image {key}.")
