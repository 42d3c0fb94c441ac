"""The samples of a dataset version, one shard after the other."""

from collections.abc import Callable, Iterator

from sam_train.data.records import Sample
from sam_train.data.store.bad_samples import OnBad
from sam_train.data.store.locations import Location
from sam_train.data.store.manifest import Dataset


def dataset_samples(
    root: Location, version: str, on_bad: OnBad, *, progress: Callable[[str], None] = print
) -> Iterator[Sample]:
    """Streams a version (a number, a tag or `latest`) with its current masks."""
    dataset = Dataset(root)
    shards = dataset.read(version).shards
    for number, entry in enumerate(shards, start=1):
        yield from dataset.samples(entry, on_bad=on_bad)
        progress(f"{number} of {len(shards)} shards: {entry.images}")
