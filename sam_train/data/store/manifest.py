"""Dataset versions: immutable lists of shards, each with the annotation layer that is current.

root/images/NAME-000000.tar                     written once
root/annotations/RR-PHASE/NAME-000000.tar       a layer for each round, same keys
root/manifests/000001.json                      a version; written last
root/tags/NAME.json                             a name for a version

A tar has its index beside it (`shard_index.py`). The whole folder may lie behind a URL, to read.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from sam_train.data.records import Sample
from sam_train.data.store.bad_samples import OnBad, refuse
from sam_train.data.store.durable import durable_file, file_sha256
from sam_train.data.store.locations import Location
from sam_train.data.store.shard_index import current_masks, ensure_index
from sam_train.data.store.shards import IndexedShard, read_shard
from sam_train.data.store.tags import manifest_path, tagged_version
from sam_train.origin import code_version


@dataclass(frozen=True)
class ShardEntry:
    """One shard of a version. Paths are relative to the dataset; `bytes` is of both tars.

    Images in `excluded` (quarantined keys) are in the tar, but not in the version nor its counts.
    """

    images: str
    images_sha256: str
    annotations: str | None
    annotations_sha256: str | None
    bytes: int
    image_count: int
    mask_count: int
    source: str
    phase: str
    excluded: Collection[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "excluded", tuple(self.excluded))  # a list, read from json

    @property
    def tars(self) -> dict[str, str | None]:
        """The hash of each tar by its path."""
        tars: dict[str, str | None] = {self.images: self.images_sha256}
        if self.annotations is not None:
            tars[self.annotations] = self.annotations_sha256
        return tars


@dataclass(frozen=True)
class Manifest:
    """One version of a dataset."""

    version: int
    parent: int | None
    created: str
    code_version: str
    model_sha256: str | None
    config_sha256: str | None
    phase: str
    round: int
    shards: tuple[ShardEntry, ...]


@dataclass(frozen=True)
class Dataset:
    """A folder of shards and its versions. Behind a URL (`location`) it can only be read."""

    root: Location

    def versions(self) -> list[int]:
        """All versions, oldest first."""
        names = (path.stem for path in (self.root / "manifests").glob("[0-9]*.json"))
        return sorted(int(name) for name in names if re.fullmatch(r"\d{6,}", name, re.ASCII))

    def read(self, version: int | str = "latest") -> Manifest:
        """Reads a version by its number, its tag, or as the latest.

        One that is missing, torn or edited by hand is an error.
        """
        versions = self.versions()
        if not versions:
            raise FileNotFoundError(
                f"{self.root} is no dataset: it has no manifests/000001.json. Make one of tars "
                f"with `python -m tools.dataset create`, or name another folder."
            )
        if version == "latest":
            number = versions[-1]
        elif str(version).isdecimal():
            number = int(version)
        else:
            number = tagged_version(self.root, str(version))
        if number not in versions:
            raise FileNotFoundError(f"{self.root} has no version {number}, only {versions}.")
        return _parse(manifest_path(self.root, number))

    def samples(self, entry: ShardEntry, *, on_bad: OnBad = refuse) -> Iterator[Sample]:
        """The images of one shard of a version, with the masks that the version has for them."""
        images, layer = self.root / entry.images, self.layer(entry)
        return read_shard(images, layer, skip=entry.excluded, on_bad=on_bad)

    def indexed(self, entry: ShardEntry, *, on_bad: OnBad = refuse) -> IndexedShard:
        """The same images by key, in any order."""
        images, layer = self.root / entry.images, self.layer(entry)
        return IndexedShard(images, layer, skip=entry.excluded, on_bad=on_bad)

    def layer(self, entry: ShardEntry) -> Location | None:
        """The tar of a shard's current masks, where they are not those beside the images."""
        return None if entry.annotations is None else self.root / entry.annotations

    def entry(
        self, images: Path, annotations: Path | None = None, *, source: str, phase: str
    ) -> ShardEntry:
        """Describes a written shard and its layer for a commit, by their indexes.

        Both lie in the dataset, if only as links: published tars need no copy.
        """
        tars = [tar for tar in (images, annotations) if tar is not None]
        indexes = [ensure_index(tar) for tar in tars]
        names = [tar.absolute().relative_to(self.root.absolute()).as_posix() for tar in tars]
        masks = current_masks(*indexes)
        return ShardEntry(
            images=names[0],
            images_sha256=indexes[0].sha256,
            annotations=names[1] if annotations else None,
            annotations_sha256=indexes[1].sha256 if annotations else None,
            bytes=sum(index.size for index in indexes),
            image_count=len(masks),
            mask_count=sum(masks.values()),
            source=source,
            phase=phase,
        )

    def commit(
        self,
        shards: Sequence[ShardEntry],
        *,
        parent: int | None,
        phase: str,
        round: int,
        model_sha256: str | None = None,
        config_sha256: str | None = None,
    ) -> Manifest:
        """Makes the shards the next version, all at once.

        They must lie in the dataset already. Nothing that exists is overwritten: if another
        process commits the same version first, this is a ValueError and nothing has changed.
        """
        if not isinstance(self.root, Path):
            raise ValueError(f"{self.root} can only be read: commit to a local folder and copy it.")
        versions = self.versions()
        if parent is not None and parent not in versions:
            raise ValueError(f"{self.root} has no version {parent} to be the parent: {versions}.")
        manifest = Manifest(
            version=max(versions, default=0) + 1,
            parent=parent,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            code_version=code_version(),
            model_sha256=model_sha256,
            config_sha256=config_sha256,
            phase=phase,
            round=round,
            shards=tuple(shards),
        )
        self.verify(manifest)
        path = manifest_path(self.root, manifest.version)
        try:
            with durable_file(path, replace=False) as file:
                file.write(_text(manifest))
        except FileExistsError as error:
            raise ValueError(
                f"{self.root} got version {manifest.version} from another process meanwhile: "
                f"read it and commit again."
            ) from error
        return manifest

    def verify(self, manifest: Manifest, *, hashes: bool = False) -> None:
        """Raises ValueError unless every tar is there with its size and, if asked, its hash."""
        if not manifest.shards:
            raise ValueError(f"Version {manifest.version} of {self.root} has no shards.")
        for entry in manifest.shards:
            self.verify_entry(entry, hashes=hashes)

    def verify_entry(self, entry: ShardEntry, *, hashes: bool = False) -> None:
        """Raises ValueError unless the tars of one shard are what they were at the commit."""
        missing = [tar for tar in entry.tars if not (self.root / tar).is_file()]
        if missing:
            raise ValueError(f"{self.root / missing[0]} is missing: copy it back.")
        size = sum((self.root / tar).stat().st_size for tar in entry.tars)
        broken = size != entry.bytes or (
            hashes and any(file_sha256(self.root / tar) != sha for tar, sha in entry.tars.items())
        )
        if broken:
            raise ValueError(
                f"{' or '.join(entry.tars)} in {self.root} is not the file that its version "
                f"was made of: copy it again."
            )


def _text(manifest: Manifest) -> bytes:
    """Readable json that ends in a hash of the rest of it."""
    content = asdict(manifest)
    return json.dumps(content | {"sha256": _hash(content)}, indent=1).encode()


def _parse(path: Location) -> Manifest:
    try:
        content = json.loads(path.read_bytes())
        written = content.pop("sha256")
        shards = tuple(ShardEntry(**entry) for entry in content["shards"])
        manifest = Manifest(**content | {"shards": shards})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no manifest ({error}): use another version.") from error
    if written != _hash(content) or manifest.version != int(path.stem):
        raise ValueError(
            f"{path} was changed after it was written: restore it, or commit a new version."
        )
    return manifest


def _hash(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
