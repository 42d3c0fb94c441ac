"""One shard of a conversion: the unit of work, of failure and of progress."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from data_engine.pool import to_sample
from data_engine.run_folder import read_json, write_json
from sam_train.data.records import Sample
from sam_train.data.sets.labeled_image import ImageSet, LabeledImage
from sam_train.data.store.bad_samples import BadSampleLog
from sam_train.data.store.manifest import Dataset, ShardEntry
from sam_train.data.store.shards import write_shard


class CountedBadSamples:
    """Lists bad samples in a file and counts them by kind."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self._log = BadSampleLog(path)

    def __call__(self, shard: str, key: str, error: Exception) -> None:
        self._log(shard, key, error)
        self.counts[type(error).__name__] += 1


@dataclass(frozen=True)
class ShardPlan:
    """Which images go into a shard, under which ids, and the settings that decide on the rest."""

    source: str
    number: int
    images: Sequence[LabeledImage]
    first_id: int
    settings: Mapping[str, Any]

    @property
    def shard(self) -> str:
        """The path in the dataset."""
        return f"images/{self.source}-{self.number:06d}.tar"

    def stats(self, dataset: Dataset) -> Path:
        """The file that says that the shard is finished."""
        return (dataset.root / self.shard).with_suffix(".stats.json")

    @cached_property
    def sha256(self) -> str:
        """A hash of all that the plan holds."""
        keys = [image.key for image in self.images]
        text = json.dumps([dict(self.settings), self.first_id, keys], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class ShardResult:
    """What a plan has become: no entry if none of its images could be used."""

    entry: ShardEntry | None
    bad: Counter[str]


def shard_plans(
    image_set: ImageSet, images_per_shard: int, settings: Mapping[str, Any]
) -> list[ShardPlan]:
    """Cuts a set into shards of equal length, the last may be shorter. Keys become NAME-KEY."""
    name = image_set.name
    images = [replace(image, key=f"{name}-{image.key}") for image in image_set]
    return [
        ShardPlan(name, number, images[start : start + images_per_shard], start + 1, settings)
        for number, start in enumerate(range(0, len(images), images_per_shard))
    ]


def carry_out(plan: ShardPlan, dataset: Dataset, on_bad: CountedBadSamples) -> ShardResult:
    """Writes a shard, then its stats; a shard that has its stats from an earlier run is kept."""
    shard = dataset.root / plan.shard
    stats = plan.stats(dataset)
    if stats.exists():
        return _finished(stats, plan)

    counts, entry = on_bad.counts.copy(), None
    samples = _samples(plan, on_bad)
    if first := next(samples, None):  # a shard without images is none
        write_shard(shard, chain([first], samples))
        entry = dataset.entry(shard, source=plan.source, phase="known")
    bad = on_bad.counts - counts
    write_json(stats, {"plan": plan.sha256, "bad": bad, "entry": entry and asdict(entry)})
    return ShardResult(entry, bad)


def _finished(stats: Path, plan: ShardPlan) -> ShardResult:
    found = read_json(stats)
    if found["plan"] != plan.sha256:
        raise ValueError(
            f"{stats} is of a conversion of other images or with other settings: choose another "
            f"source name, or delete it and its tar"
        )
    entry = found["entry"]
    return ShardResult(ShardEntry(**entry) if entry else None, Counter(found["bad"]))


def _samples(plan: ShardPlan, on_bad: CountedBadSamples) -> Iterator[Sample]:
    """The images of a plan; each is decoded once, so that no broken file goes into a shard."""
    for image_id, image in enumerate(plan.images, start=plan.first_id):
        try:
            pixels = image.load()
            decoded = replace(image, load=partial(np.asarray, pixels))
            sample = to_sample(decoded, image_id=image_id, with_masks=True)
        except (ValueError, OSError) as error:
            on_bad(plan.source, image.key, error)
        else:
            yield sample
