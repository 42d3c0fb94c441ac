"""Dataset versions: immutable lists of shards, each with the annotation layer that is current.

root/images/NAME-000000.tar                     written once
root/annotations/RR-PHASE/NAME-000000.tar       a layer for each round, same keys
root/manifests/000001.json                      a version; written last
"""

import hashlib
import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Literal

from sam_train.data.durable import durable_file, file_sha256
from sam_train.data.shards import shard_stats


@dataclass(frozen=True)
class ShardEntry:
    """One shard of a version. Paths are relative to the dataset; `bytes` is of both tars."""

    images: str
    images_sha256: str
    annotations: str | None
    annotations_sha256: str | None
    bytes: int
    image_count: int
    mask_count: int
    source: str
    phase: str


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
    """A folder of shards and its versions."""

    root: Path

    def versions(self) -> list[int]:
        """All versions, oldest first."""
        names = (path.stem for path in self._folder.glob("[0-9]*.json"))
        return sorted(int(name) for name in names if name.isdigit())

    def read(self, version: int | Literal["latest"] = "latest") -> Manifest:
        """Reads a version; one that is missing, torn or edited by hand is an error."""
        versions = self.versions()
        if not versions:
            raise FileNotFoundError(
                f"{self.root} is no dataset: it has no manifests/000001.json. Write one with "
                f"`python -m data_engine.run` or name another folder."
            )
        number = versions[-1] if version == "latest" else version
        if number not in versions:
            raise FileNotFoundError(f"{self.root} has no version {number}, only {versions}.")
        return _parse(self._path(number))

    def entry(
        self, images: Path, annotations: Path | None = None, *, source: str, phase: str
    ) -> ShardEntry:
        """Describes a written shard and its layer for a commit.

        Both lie in the dataset, if only as links: published tars need no copy.
        """
        tars = [tar for tar in (images, annotations) if tar is not None]
        image_stats, *layer_stats = [shard_stats(tar) for tar in tars]
        names = [tar.absolute().relative_to(self.root.absolute()).as_posix() for tar in tars]
        return ShardEntry(
            images=names[0],
            images_sha256=image_stats.sha256,
            annotations=names[1] if layer_stats else None,
            annotations_sha256=layer_stats[0].sha256 if layer_stats else None,
            bytes=sum(stats.bytes for stats in (image_stats, *layer_stats)),
            image_count=image_stats.sample_count,
            mask_count=(layer_stats or [image_stats])[0].mask_count,
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
        try:
            with durable_file(self._path(manifest.version), replace=False) as file:
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
            tars = {entry.images: entry.images_sha256}
            if entry.annotations is not None:
                tars[entry.annotations] = entry.annotations_sha256
            missing = [tar for tar in tars if not (self.root / tar).is_file()]
            if missing:
                raise ValueError(f"{self.root / missing[0]} is missing: copy it back.")
            size = sum((self.root / tar).stat().st_size for tar in tars)
            broken = size != entry.bytes or (
                hashes and any(file_sha256(self.root / tar) != sha for tar, sha in tars.items())
            )
            if broken:
                raise ValueError(
                    f"{' or '.join(tars)} in {self.root} is not the file that version "
                    f"{manifest.version} was made of: copy it again."
                )

    @property
    def _folder(self) -> Path:
        return self.root / "manifests"

    def _path(self, version: int) -> Path:
        return self._folder / f"{version:06d}.json"


def code_version() -> str:
    """The package's version and, in a git checkout, its commit."""
    try:
        version = package_version("sam-train")
    except PackageNotFoundError:
        version = "unknown"
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return version
    describe = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        run = subprocess.run(describe, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return version
    return f"{version}+{run.stdout.strip()}"


def _text(manifest: Manifest) -> bytes:
    """Readable json that ends in a hash of the rest of it."""
    content = asdict(manifest)
    return json.dumps(content | {"sha256": _hash(content)}, indent=1).encode()


def _parse(path: Path) -> Manifest:
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
