"""Builds the indexes that the shards of a version lack."""

from functools import partial

from sam_train.data.store.bad_samples import pass_over
from sam_train.data.store.manifest import Dataset, Manifest
from sam_train.data.store.shard_index import build_index, current_index, index_path, save_index
from tools.dataset_versions.shard_jobs import run_shards


def index(dataset: Dataset, manifest: Manifest, *, workers: int = 1) -> tuple[int, int]:
    """Builds the indexes that a version lacks; returns the bytes of all, and how many were built.

    An index is kept if it is of the file that the version was made of.
    """
    tars = [(tar, sha256) for entry in manifest.shards for tar, sha256 in entry.tars.items()]
    built = run_shards(partial(_index, dataset), tars, workers=workers, verb="indexed")
    size = sum(index_path(dataset.root / tar).stat().st_size for tar, _ in tars)
    return size, sum(built)


def _index(dataset: Dataset, tar_and_hash: tuple[str, str | None]) -> bool:
    """Whether the index had to be built; a bad sample is one for the reader to report."""
    tar, sha256 = dataset.root / tar_and_hash[0], tar_and_hash[1]
    index = current_index(tar)
    if index is not None and index.sha256 == sha256:
        return False
    index = build_index(tar, pass_over)
    if index.sha256 != sha256:
        raise ValueError(f"{tar} is not the file that its version was made of: copy it again.")
    save_index(index, tar)
    return True
