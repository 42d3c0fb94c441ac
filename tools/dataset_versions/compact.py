"""Writes a version as self-contained SA-1B tars: each image beside the masks it has now."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sam_train.data.records import BadSample, usable_record
from sam_train.data.store.bad_samples import BadSampleLog
from sam_train.data.store.manifest import Dataset, Manifest, ShardEntry
from sam_train.data.store.shards import EncodedSample, read_pairs, write_encoded
from tools.dataset_versions.copies import Version, copy_once
from tools.dataset_versions.shard_jobs import run_shards


def compact(version: Version, output: Path, *, workers: int = 1) -> Manifest:
    """Writes the tars of a new dataset and commits it; finished tars are not written again.

    Images and records keep their bytes. Samples that cannot be used are left out and listed in
    `output/bad_samples.jsonl`.
    """
    work = partial(_compact_shard, version.dataset, output)
    shards = version.manifest.shards
    return copy_once(
        output,
        "compact",
        [version],
        lambda: run_shards(work, shards, workers=workers, verb="written"),
    )


def _compact_shard(dataset: Dataset, output: Path, entry: ShardEntry) -> ShardEntry:
    path = output / "images" / Path(entry.images).name
    if not path.exists():
        dataset.verify_entry(entry, hashes=True)  # damage would become a whole tar's content
        write_encoded(path, _current_samples(dataset, output, entry))
    return Dataset(output).entry(path, source=entry.source, phase=entry.phase)


def _current_samples(dataset: Dataset, output: Path, entry: ShardEntry) -> Iterator[EncodedSample]:
    on_bad = BadSampleLog(output / "bad_samples.jsonl")
    images = dataset.root / entry.images
    layer = dataset.layer(entry)
    for key, image, text in read_pairs(images, layer, skip=entry.excluded, on_bad=on_bad):
        try:
            masks = len(usable_record(text)["annotations"])
        except BadSample as error:
            on_bad(str(images), key, error)
        else:
            yield EncodedSample(key, {".jpg": image, ".json": text}, masks)
