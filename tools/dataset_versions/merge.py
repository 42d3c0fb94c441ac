"""Puts two versions into one new dataset, by links."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt64

from sam_train.data.store.bad_samples import pass_over
from sam_train.data.store.manifest import Dataset, Manifest, ShardEntry
from sam_train.data.store.shard_index import ensure_index, save_index
from tools.dataset_versions.copies import Version, copy_once
from tools.dataset_versions.create import link_tar
from tools.dataset_versions.shard_jobs import run_shards

Prefer = Literal["first", "second"] | None


def merge(
    first: Version, second: Version, output: Path, *, prefer: Prefer, workers: int = 1
) -> Manifest:
    """Links the tars of both versions into a new dataset and commits it.

    A shard of the same images comes once. If its masks differ, `prefer` says whose are kept;
    without it that is an error, and so are two images of one key.
    """

    def entries() -> list[ShardEntry]:
        links = [
            (version.dataset, entry, name)
            for (version, entry), name in _named(_chosen(first, second, prefer))
        ]
        work = partial(_link_shard, output)
        merged, hashes = zip(*run_shards(work, links, workers=workers, verb="linked"), strict=True)
        _require_unique_keys(output, merged, hashes)
        return list(merged)

    return copy_once(output, "merge", [first, second], entries)


def _chosen(first: Version, second: Version, prefer: Prefer) -> list[tuple[Version, ShardEntry]]:
    """The shards of both, those that they share once."""
    shared = {entry.images_sha256: entry for entry in second.manifest.shards}
    chosen: list[tuple[Version, ShardEntry]] = []
    for entry in first.manifest.shards:
        other = shared.pop(entry.images_sha256, entry)
        same = (other.annotations_sha256, set(other.excluded)) == (
            entry.annotations_sha256,
            set(entry.excluded),
        )
        if not same and prefer is None:
            raise ValueError(
                f"Both versions have masks for {entry.images}, and they differ: say whose are kept "
                f"with --prefer first or --prefer second."
            )
        chosen.append((second, other) if not same and prefer == "second" else (first, entry))
    return [*chosen, *((second, entry) for entry in shared.values())]


def _named(
    shards: Sequence[tuple[Version, ShardEntry]],
) -> Iterator[tuple[tuple[Version, ShardEntry], str]]:
    """Gives each shard a file name of its own: the engine names layers after it."""
    taken: Counter[str] = Counter()
    for version, entry in shards:
        name = Path(entry.images).name
        taken[name] += 1
        if taken[name] > 1:
            name = f"{version.dataset.root.absolute().name}-{taken[name]}-{name}"
        yield (version, entry), name


def _link_shard(
    output: Path, shard: tuple[Dataset, ShardEntry, str]
) -> tuple[ShardEntry, UInt64[np.ndarray, " S"]]:
    """Links the tars of one shard, takes their indexes along, and hashes its keys."""
    dataset, entry, name = shard
    images = _link(dataset.root / entry.images, output / "images" / name)
    layer = None
    if entry.annotations is not None:
        folder = Path(entry.annotations).parent.name
        layer = _link(dataset.root / entry.annotations, output / "annotations" / folder / name)
    linked = replace(
        entry,
        images=images.relative_to(output).as_posix(),
        annotations=None if layer is None else layer.relative_to(output).as_posix(),
    )
    keys = (key for key in ensure_index(images).keys if key not in entry.excluded)
    return linked, np.array([_key_hash(key) for key in keys], np.uint64)


def _link(tar: Path, link: Path) -> Path:
    index = ensure_index(tar, pass_over)
    link.parent.mkdir(parents=True, exist_ok=True)
    save_index(index, link_tar(link, tar))
    return link


def _key_hash(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest())


def _require_unique_keys(
    output: Path, entries: Sequence[ShardEntry], hashes: Sequence[UInt64[np.ndarray, " S"]]
) -> None:
    """Eight bytes a key: those of SA-1B's 11 M images are sorted in 90 MB."""
    values, counts = np.unique(np.concatenate(hashes), return_counts=True)
    repeated = values[counts > 1]
    if not len(repeated):
        return
    shards = [entry for entry, keys in zip(entries, hashes, strict=True) if repeated[0] in keys]
    keys = ensure_index(output / shards[0].images).keys
    key = next(key for key in keys if _key_hash(key) == repeated[0])
    raise ValueError(
        f"{len(repeated)} keys name two images each, {key} in {shards[0].images} and "
        f"{shards[-1].images} for one: the datasets cannot be merged."
    )
