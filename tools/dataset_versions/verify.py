"""Checks all shards of a version."""

from functools import partial

from sam_train.data.store.manifest import Dataset, Manifest, ShardEntry
from tools.dataset_versions.shard_jobs import run_shards


def verify(dataset: Dataset, manifest: Manifest, *, hashes: bool, workers: int = 1) -> list[str]:
    """What is wrong with the tars of a version, a sentence each; none if it is whole."""
    check = partial(_problem, dataset, hashes=hashes)
    problems = run_shards(check, manifest.shards, workers=workers, verb="checked")
    return [problem for problem in problems if problem]


def _problem(dataset: Dataset, entry: ShardEntry, hashes: bool) -> str:
    try:
        dataset.verify_entry(entry, hashes=hashes)
    except ValueError as error:
        return str(error)
    return ""
