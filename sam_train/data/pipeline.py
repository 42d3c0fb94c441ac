"""The training stream: endless, shuffled, and the same for the same seed, rank and worker."""

import random
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import webdataset as wds
from torch.utils.data import get_worker_info

from sam_train.data.collate import Example
from sam_train.data.examples import ExampleMaker
from sam_train.data.records import BadSample, Sample
from sam_train.data.shards import OnBad, read_shard

# After so many useless samples in a row the data is taken to be wrong rather than unlucky.
PATIENCE = 10_000


class ShardFiles(NamedTuple):
    """A shard, its current layer, and how often it is drawn beside the others."""

    images: Path
    annotations: Path | None = None
    weight: float = 1.0


class DrawnShard(NamedTuple):
    """A shard, and the seed of all that is random about this reading of it."""

    files: ShardFiles
    seed: int


class Visit(NamedTuple):
    """A sample that was read, from which shard, and the seed of this one visit."""

    shard: Path
    sample: Sample
    seed: tuple[int, int]


def training_pipeline(
    shards: Sequence[ShardFiles],
    make_example: ExampleMaker,
    *,
    shuffle_buffer: int,
    on_bad: OnBad,
    seed: Sequence[int],
) -> wds.DataPipeline:
    """Draws shards for ever and yields examples; what cannot be used goes to `on_bad`.

    `seed` holds whatever tells this stream from others (the run's seed, the rank, the step that
    it resumes at); loader workers and epochs add themselves. Every rank and worker draws from
    all shards, so there may be fewer shards than workers.
    """
    return wds.DataPipeline(
        ShardDraws(shards, seed=seed),
        partial(read_samples, on_bad=on_bad),
        partial(shuffle, size=shuffle_buffer),
        partial(make_examples, make_example=make_example, on_bad=on_bad),
    )


class ShardDraws:
    """Draws shards with replacement, for ever. Every call is another epoch, with other draws."""

    def __init__(self, shards: Sequence[ShardFiles], *, seed: Sequence[int]) -> None:
        self.shards = list(shards)
        self.seed = tuple(seed)
        self.epoch = -1

    def __call__(self) -> Iterator[DrawnShard]:
        self.epoch += 1
        worker = get_worker_info()
        rng = random.Random(str((*self.seed, worker.id if worker else 0, self.epoch)))
        weights = [shard.weight for shard in self.shards]
        while True:
            (files,) = rng.choices(self.shards, weights)
            yield DrawnShard(files, rng.getrandbits(64))


def read_samples(draws: Iterable[DrawnShard], on_bad: OnBad) -> Iterator[Visit]:
    """Reads every shard and gives each of its samples a seed of its own."""
    barren = 0
    for files, seed in draws:
        barren += 1
        for index, sample in enumerate(read_shard(files.images, files.annotations, on_bad=on_bad)):
            barren = 0
            yield Visit(files.images, sample, (seed, index))
        if barren == PATIENCE:
            raise ValueError(f"{PATIENCE} shards in a row had no sample, {files.images} the last.")


def shuffle(visits: Iterable[Visit], size: int) -> Iterator[Visit]:
    """Holds `size` samples, still compressed, and swaps each that comes for one of them."""
    visits = iter(visits)
    held = list(islice(visits, size))
    rng = random.Random(str(held[0].seed))
    for visit in visits:
        place = rng.randrange(size)
        yield held[place]
        held[place] = visit


def make_examples(
    visits: Iterable[Visit], make_example: ExampleMaker, on_bad: OnBad
) -> Iterator[Example]:
    """Makes an example of every sample of which one can be made."""
    failures = 0
    for shard, sample, seed in visits:
        try:
            example = make_example(sample, np.random.default_rng(seed))
        except BadSample as error:
            on_bad(str(shard), sample.key, error)
            failures += 1
            if failures == PATIENCE:
                raise ValueError(
                    f"{PATIENCE} images in a row were of no use; the last was {sample.key} of "
                    f"{shard}: {error}"
                ) from error
        else:
            failures = 0
            yield example
