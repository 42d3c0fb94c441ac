"""Leaves the samples of a `bad_samples.jsonl` out of a new version; no tar is written again."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from sam_train.data.store.bad_samples import pass_over
from sam_train.data.store.manifest import Dataset, Manifest, ShardEntry
from sam_train.data.store.shard_index import current_masks, ensure_index
from tools.dataset_versions.shard_jobs import run_shards


def quarantine(
    dataset: Dataset, parent: Manifest, bad_samples: Path, *, workers: int = 1
) -> Manifest:
    """Commits a version without the listed images. What is listed of other datasets is ignored.

    A line without a key is about a whole tar: it excludes nothing, that tar is to be mended.
    """
    listed = _by_shard(parent, read_listed(bad_samples))
    if not listed:
        raise ValueError(
            f"{bad_samples} lists no image of version {parent.version} of {dataset.root} that is "
            f"not left out already."
        )
    work = partial(_without, dataset, listed)
    entries = run_shards(work, parent.shards, workers=workers, verb="looked through")
    return dataset.commit(
        entries,
        parent=parent.version,
        phase=parent.phase,
        round=parent.round,
        model_sha256=parent.model_sha256,
        config_sha256=parent.config_sha256,
    )


def read_listed(bad_samples: Path) -> Iterable[tuple[str, str]]:
    """The shard and the key of every line that is whole."""
    for line in bad_samples.read_bytes().splitlines():
        try:
            entry = json.loads(line)
            yield str(entry["shard"]), str(entry["key"])
        except (ValueError, KeyError, TypeError):
            continue  # half a line, of a process that died


def _by_shard(manifest: Manifest, listed: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """The listed keys by the images' tar; readers name a tar of the version by any path."""
    shards = {tar: entry for entry in manifest.shards for tar in entry.tars}
    keys: dict[str, set[str]] = defaultdict(set)
    for shard, key in listed:
        parts = shard.split("/")
        tails = ("/".join(parts[start:]) for start in range(len(parts)))
        entry = next((shards[tail] for tail in tails if tail in shards), None)
        if entry is not None and key and key not in entry.excluded:
            keys[entry.images].add(key)
    return dict(keys)


def _without(dataset: Dataset, listed: dict[str, set[str]], entry: ShardEntry) -> ShardEntry:
    keys = listed.get(entry.images, set())
    if not keys:
        return entry
    images, *layers = (ensure_index(dataset.root / tar, pass_over) for tar in entry.tars)
    keys = {key for key in keys if key in images}
    masks = current_masks(images, *layers)
    return replace(
        entry,
        excluded=sorted({*entry.excluded, *keys}),
        image_count=entry.image_count - len(keys),
        mask_count=entry.mask_count - sum(masks[key] for key in keys),
    )
