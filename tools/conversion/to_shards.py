"""A set of images with masks becomes shards of a new version of a dataset."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from data_engine.executors.local import LocalExecutor
from sam_train.data.sets.image_folder import safe_key
from sam_train.data.sets.labeled_image import ImageSet
from sam_train.data.store.manifest import Dataset, Manifest, ShardEntry
from sam_train.run_folder import locked
from tools.conversion.shard_plan import CountedBadSamples, ShardPlan, carry_out, shard_plans


@dataclass(frozen=True)
class Conversion:
    """The new version, its converted shards, and how many samples were bad, by kind."""

    manifest: Manifest
    entries: list[ShardEntry]
    bad: Counter[str]


def convert(
    image_set: ImageSet,
    dataset: Dataset,
    *,
    settings: Mapping[str, Any],
    on_bad: CountedBadSamples,
    images_per_shard: int = 1000,
    workers: int = 1,
    progress: Callable[[str], None] = print,
) -> Conversion:
    """Writes the set as shards images/NAME-000000.tar, ... and commits them after the latest's.

    JPEG files that every decoder reads alike are kept byte by byte, other images are written as
    JPEG of quality 95. What cannot be used goes to `on_bad`. A conversion that was interrupted
    goes on where it was, if set and `settings` (how the set was made) are the same.
    """
    name = image_set.name
    if not name or safe_key(name) != name:
        raise ValueError(f"the source {name!r} needs a name of letters, digits, - and _")
    if images_per_shard < 1:
        raise ValueError(f"{images_per_shard} images per shard are none: give at least one")

    with locked(dataset.root):
        plans = shard_plans(image_set, images_per_shard, settings)
        refuse_taken(plans, dataset)
        bad, entries = on_bad.counts.copy(), list[ShardEntry]()
        work = partial(carry_out, dataset=dataset, on_bad=on_bad)
        for done, result in enumerate(LocalExecutor(workers).run(work, plans), start=1):
            bad += result.bad
            entries += [result.entry] if result.entry else []
            progress(f"{done} of {len(plans)} shards: {count(entries)}, {bad.total():,} left out")
        if not entries:
            for plan in plans:  # what is mended now is looked at again
                plan.stats(dataset).unlink(missing_ok=True)
            raise ValueError(f"no image of {name} can be used; {on_bad.path} says why of each")

        entries.sort(key=lambda entry: entry.images)
        parent = dataset.read() if dataset.versions() else None
        manifest = dataset.commit(
            [*(parent.shards if parent else ()), *entries],
            parent=parent.version if parent else None,
            phase="known",
            round=0,
        )
    return Conversion(manifest, entries, bad)


def refuse_taken(plans: Sequence[ShardPlan], dataset: Dataset) -> None:
    """Raises ValueError if a version has a shard of one of these names: images stay as they are."""
    names = {plan.shard for plan in plans}
    for version in dataset.versions():
        if taken := names & {entry.images for entry in dataset.read(version).shards}:
            raise ValueError(
                f"{min(taken)} belongs to version {version} of {dataset.root} already: choose "
                f"another source name"
            )


def count(entries: list[ShardEntry]) -> str:
    """How much some shards hold."""
    images = sum(entry.image_count for entry in entries)
    masks = sum(entry.mask_count for entry in entries)
    return f"{images:,} images, {masks:,} masks"
