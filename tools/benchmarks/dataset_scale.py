"""Time and peak memory of writing, indexing, verifying, comparing and drawing many masks.

python -m tools.benchmarks.dataset_scale /tmp/scale --images 100000      # 10 M masks, 12 GB

Version 1 has 100 masks an image beside the images, version 2 a layer in which one of them is
replaced and one added. `draw` is an epoch of training examples, each checked to come once. Memory
is that of the largest process and must not grow with --images.
"""

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sam_train.command_line import one_sentence_errors
from tools.workers import WORKERS

IMAGES_PER_SHARD = 1000
MASKS_PER_IMAGE = 100
SIZE = 64  # pixels of an image's side
MIXED_IMAGES = 5000  # shuffled together: fewer than there are, for this much is held in memory


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.benchmarks.dataset_scale", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", type=Path, help="a new folder for the dataset")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--workers", **WORKERS | {"default": 1})
    options = parser.parse_args()
    with one_sentence_errors("dataset_scale"):
        if options.folder.exists():
            raise ValueError(f"{options.folder} is there already: name a new folder.")
        print(f"{'stage':10} {'seconds':>8} {'CPU s':>8} {'masks/s':>9} {'peak MB':>8}  result")
        for stage in (write, annotate, index, verify, diff, datasheet, stream, draw):
            work = partial(stage, options.folder, options.images, options.workers)
            seconds, cpu, peak, result = measured(work)
            rate = options.images * MASKS_PER_IMAGE / seconds
            numbers = f"{seconds:8.1f} {cpu:8.1f} {rate:9.0f} {peak:8.0f}"
            print(f"{stage.__name__:10} {numbers}  {result}", flush=True)


def measured(work: Callable[[], str]) -> tuple[float, float, float, str]:
    """Runs the work in a process of its own.

    Returns its seconds, those of all CPUs, the peak memory of its largest process in MB, and the
    result.
    """
    receiver, sender = get_context("spawn").Pipe(duplex=False)
    process = get_context("spawn").Process(target=_send, args=(sender, work))
    process.start()
    sender.close()
    measured = receiver.recv()
    process.join()
    return measured


def _send(sender: Connection, work: Callable[[], str]) -> None:
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(used.ru_utime + used.ru_stime for used in usage)
    sender.send((seconds, cpu, max(used.ru_maxrss for used in usage) / 1024, result))


def write(root: Path, images: int, workers: int) -> str:
    """Version 1: shards of drawn masks."""
    from sam_train.data.store.manifest import Dataset
    from tools.dataset_versions.shard_jobs import run_shards

    firsts = range(0, images, IMAGES_PER_SHARD)
    entries = run_shards(partial(_write_shard, root, images), firsts, workers=workers, verb="wrote")
    manifest = Dataset(root).commit(entries, parent=None, phase="fully_automatic", round=0)
    return f"{sum(entry.bytes for entry in manifest.shards) / 1e6:.0f} MB"


def _write_shard(root: Path, images: int, first: int):
    from sam_train.data.store.manifest import Dataset
    from sam_train.data.store.shards import write_shard

    path = root / "images" / f"drawn-{first // IMAGES_PER_SHARD:06d}.tar"
    write_shard(path, _samples(first, min(first + IMAGES_PER_SHARD, images)))
    return Dataset(root).entry(path, source="drawn", phase="fully_automatic")


def _samples(first: int, last: int) -> Iterator[Any]:
    """Images of noise under a thousand discs, a hundred at a time."""
    import numpy as np

    from sam_train.data.images import encode_jpeg
    from sam_train.data.records import Sample, annotation_from_rle
    from sam_train.data.rle import encode_mask

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE]
    discs = [
        annotation_from_rle(encode_mask((y - cy) ** 2 + (x - cx) ** 2 <= r * r), id=0)
        for cy, cx, r in rng.integers(3, SIZE - 3, (1000, 3))
    ]
    jpeg = encode_jpeg(rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8))
    for number in range(first, last):
        start = number * 37 % 900
        chosen = discs[start : start + MASKS_PER_IMAGE]
        annotations = [disc | {"id": number * 1000 + id} for id, disc in enumerate(chosen)]
        name = f"sa_{number}.jpg"
        image: Any = {"image_id": number, "width": SIZE, "height": SIZE, "file_name": name}
        yield Sample(f"sa_{number}", jpeg, {"image": image, "annotations": annotations})


def annotate(root: Path, images: int, workers: int) -> str:
    """Version 2: layers that replace a mask of every image and add one."""
    from sam_train.data.store.manifest import Dataset
    from tools.dataset_versions.shard_jobs import run_shards

    dataset = Dataset(root)
    shards = dataset.read().shards
    entries = run_shards(partial(_annotate_shard, dataset), shards, workers=workers, verb="wrote")
    dataset.commit(entries, parent=1, phase="semi_automatic", round=1)
    return f"{sum(entry.mask_count for entry in entries)} masks"


def _annotate_shard(dataset, entry):
    from sam_train.data.store.shards import write_annotations

    layer = dataset.root / "annotations" / "01-semi_automatic" / Path(entry.images).name
    write_annotations(layer, map(_changed, dataset.samples(entry)))
    images = dataset.root / entry.images
    return dataset.entry(images, layer, source=entry.source, phase="semi_automatic")


def _changed(sample):
    annotations = sample.record["annotations"]
    annotations[0]["predicted_iou"] = 0.9
    annotations.append(deepcopy(annotations[1]) | {"id": annotations[-1]["id"] + 1})
    return sample.key, sample.record


def index(root: Path, images: int, workers: int) -> str:
    """All indexes anew."""
    from sam_train.data.store.manifest import Dataset
    from tools.dataset_versions.index import index

    for path in root.rglob("*.index.npz"):
        path.unlink()
    size, built = index(Dataset(root), Dataset(root).read(), workers=workers)
    return f"{built} indexes, {size / images / 2:.1f} bytes per image and tar"


def verify(root: Path, images: int, workers: int) -> str:
    """Every byte of version 2."""
    from sam_train.data.store.manifest import Dataset
    from tools.dataset_versions.verify import verify

    dataset = Dataset(root)
    return f"{len(verify(dataset, dataset.read(), hashes=True, workers=workers))} problems"


def diff(root: Path, images: int, workers: int) -> str:
    """All masks of version 1 against those of version 2."""
    from tools.dataset_versions.copies import read_version
    from tools.dataset_versions.diff import Changes, diff

    changes = diff(read_version(f"{root}@1"), read_version(f"{root}@2"), workers=workers)
    total = sum(changes.values(), Changes())
    return ", ".join(f"{count} {kind} ({phase})" for (phase, kind), count in total.items())


def datasheet(root: Path, images: int, workers: int) -> str:
    """The mask index of version 2 and its page."""
    from tools.datasheet import write_datasheet

    page = root / "datasheet.html"
    write_datasheet(root, out=page, workers=workers, command="dataset_scale")
    rows = sum(file.stat().st_size for file in page.with_suffix(".masks").rglob("*.parquet"))
    return f"{rows / 1e6:.0f} MB of Parquet, a page of {page.stat().st_size / 1e3:.0f} kB"


def stream(root: Path, images: int, workers: int) -> str:
    """The keys in the order of the tars: every sample is read and its record parsed."""
    from sam_train.data.store.manifest import Dataset

    dataset = Dataset(root)
    shards = dataset.read().shards
    keys = (sample.key for entry in shards for sample in dataset.samples(entry))
    return f"{sum(1 for _ in keys)} keys"


def draw(root: Path, images: int, workers: int) -> str:
    """One epoch of training examples, in training's order, in this process alone."""
    from sam_train.data.store.bad_samples import refuse
    from sam_train.data.store.manifest import Dataset
    from sam_train.data.stream.examples import ExampleMaker
    from sam_train.data.stream.mixture import Mixture
    from sam_train.data.stream.pipeline import TrainingImages

    dataset = Dataset(root)
    shards = Mixture(mixed_images=MIXED_IMAGES).choose(dataset, dataset.read())
    make_example = ExampleMaker(SIZE, SIZE)
    drawn = TrainingImages(shards, make_example, mixed_images=MIXED_IMAGES, on_bad=refuse)
    unseen = bytearray(b"\1") * images
    for position in range(drawn.order.epoch_size):
        key = drawn.draw(position).example["key"]
        unseen[int(key.removeprefix("sa_"))] -= 1  # ValueError for a second time
    return f"{drawn.order.epoch_size} examples, {sum(unseen)} images not among them"


if __name__ == "__main__":
    main()
