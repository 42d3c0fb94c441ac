"""The index of a tar: where its samples lie, their masks and checksums, in one small file.

It stands beside the tar as NAME.index.npz, is written with the tar or when the tar is first
described, and is a short cut only: streaming does without, and one that is lost is built again.
"""

import os
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sam_train.data.records import BadSample, usable_record
from sam_train.data.store.bad_samples import OnBad, refuse
from sam_train.data.store.durable import durable_file
from sam_train.data.store.hashed_files import HashedReader
from sam_train.data.store.locations import Location, read_range
from sam_train.data.store.tar_members import tar_members

# A part that the tar does not have (a layer has no images) is at offset 0.
ROW = np.dtype(
    [
        ("image_offset", "<u8"),
        ("image_size", "<u8"),
        ("image_crc32", "<u4"),
        ("record_offset", "<u8"),
        ("record_size", "<u8"),
        ("record_crc32", "<u4"),
        ("mask_count", "<u4"),
    ]
)


class MissingPartner(BadSample):
    """An image without a json, or a json without an image."""


class ChecksumMismatch(BadSample):
    """Bytes that are not those which the index was made of."""


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """One row for each sample of a tar, in the order in which their first parts lie in it."""

    keys: tuple[str, ...]
    rows: np.ndarray
    sha256: str
    size: int

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def masks(self) -> dict[str, int]:
        """The number of masks of every sample."""
        return dict(zip(self.keys, self.rows["mask_count"].tolist(), strict=True))

    def read(self, tar: Location, key: str, part: str) -> bytes:
        """The `image` or the `record` of a sample; a BadSample if it is not as it was indexed."""
        offset, size, crc32 = (
            int(self.rows[f"{part}_{what}"][self._places[key]]) if key in self else 0
            for what in ("offset", "size", "crc32")
        )
        if not offset:
            raise MissingPartner(f"{tar.name} has no {part} of {key}.")
        content = read_range(tar, offset, size)
        if zlib.crc32(content) != crc32:
            raise ChecksumMismatch(f"The {part} of {key} has changed; fetch {tar.name} again.")
        return content

    @cached_property
    def _places(self) -> dict[str, int]:
        return {key: place for place, key in enumerate(self.keys)}


class IndexRows:
    """The rows of an index that is being made."""

    def __init__(self) -> None:
        self._rows: dict[str, list[int]] = {}

    def add(self, key: str, kind: str, offset: int, content: bytes, mask_count: int = 0) -> None:
        """Notes an image (`.jpg`) or a record (`.json`) of a sample."""
        row = self._rows.setdefault(key, [0] * 7)
        place = 0 if kind == ".jpg" else 3
        row[place : place + 3] = offset, len(content), zlib.crc32(content)
        row[6] += mask_count

    def index(self, sha256: str, size: int) -> ShardIndex:
        """The index of a tar with this hash and size."""
        rows = np.array([tuple(row) for row in self._rows.values()], ROW)
        return ShardIndex(tuple(self._rows), rows, sha256, size)


def current_masks(images: ShardIndex, layer: ShardIndex | None = None) -> dict[str, int]:
    """How many masks each sample of a shard has: those of its layer, or those beside the image."""
    masks = images.masks()
    if layer is not None:
        masks |= {key: count for key, count in layer.masks().items() if key in masks}
    return masks


def index_path(tar: Location) -> Location:
    """Where the index of a tar stands."""
    return tar.with_name(f"{tar.stem}.index.npz")


def current_index(tar: Location) -> ShardIndex | None:
    """The index beside a tar, unless there is none or it is of a file of another size."""
    path = index_path(tar)
    index = _load(path) if path.is_file() else None
    return index if index is not None and index.size == tar.stat().st_size else None


def ensure_index(tar: Location, on_bad: OnBad = refuse) -> ShardIndex:
    """The index of a tar; one that is missing or out of date is built, and saved if it can be."""
    index = current_index(tar)
    if index is None:
        index = build_index(tar, on_bad)
        if isinstance(tar, Path) and os.access(tar.parent, os.W_OK):
            save_index(index, tar)
    return index


def build_index(tar: Location, on_bad: OnBad = refuse) -> ShardIndex:
    """Reads a tar once, from its start to its end, published ones included.

    What cannot be used goes to `on_bad(tar, key, error)` and is indexed as without masks.
    """
    rows = IndexRows()
    with tar.open("rb") as raw:
        file = HashedReader(raw)
        for member in tar_members(tar, file, on_bad):
            content, masks = member.read(file), 0
            if member.kind == ".json":
                try:
                    masks = len(usable_record(content)["annotations"])
                except BadSample as error:
                    on_bad(str(tar), member.key, error)
            rows.add(member.key, member.kind, member.offset, content, masks)
        index = rows.index(*file.sha256())
    _report_lone_parts(index, tar, on_bad)
    return index


def _report_lone_parts(index: ShardIndex, tar: Location, on_bad: OnBad) -> None:
    """Only in a tar that has both; a layer has no images, and images may wait for a layer."""
    images, records = index.rows["image_offset"] > 0, index.rows["record_offset"] > 0
    if not images.any() or not records.any():
        return
    for place in np.flatnonzero(images != records):
        missing = ".json" if images[place] else ".jpg"
        key = index.keys[place]
        on_bad(str(tar), key, MissingPartner(f"There is no {key}{missing}."))


def save_index(index: ShardIndex, tar: Path) -> None:
    """Writes the index beside its tar; a process that dies leaves no half of one."""
    arrays = {name: index.rows[name] for name in ROW.names or ()}
    arrays["keys"] = np.frombuffer("\n".join(index.keys).encode(), np.uint8)
    arrays["sha256"] = np.frombuffer(bytes.fromhex(index.sha256), np.uint8)
    arrays["size"] = np.array(index.size)
    with durable_file(index_path(tar)) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _load(path: Location) -> ShardIndex | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            rows = np.empty(len(arrays["mask_count"]), ROW)
            for name in ROW.names or ():
                rows[name] = arrays[name]
            keys = tuple(arrays["keys"].tobytes().decode().split("\n")) if len(rows) else ()
            sha256 = arrays["sha256"].tobytes().hex()
            return ShardIndex(keys, rows, sha256, int(arrays["size"]))
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None  # damaged: as good as none
