"""The training stream: endless, shuffled, and known at every position without those before it.

What comes at a position depends on the seed and the shards alone. So a stream goes on anywhere,
and is the same for any number of ranks, loader processes and interruptions.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from sam_train.data.records import BadSample, Sample
from sam_train.data.store.bad_samples import OnBad
from sam_train.data.store.shards import IndexedShard
from sam_train.data.stream.bad_share import BadShare
from sam_train.data.stream.collate import Batch, Example, collate
from sam_train.data.stream.examples import ExampleMaker, NoObjects
from sam_train.data.stream.image_order import ImageOrder
from sam_train.data.stream.mixture import ShardFiles

# After so many useless images in a row the data is taken to be wrong rather than unlucky.
PATIENCE = 10_000
LOOK_AHEAD = 10_000  # positions from which a useless image is replaced


class UselessData(ValueError):
    """Nothing to train on was found for a long time."""


class DrawnBatch(Batch):
    """A batch that says where its images come from, and how many were bad and replaced."""

    sources: list[str]
    phases: list[str]
    bad_count: int


class Draw(NamedTuple):
    """An example, its shard, and how many bad images were met before it."""

    example: Example
    shard: ShardFiles
    bad_count: int


class AnnotatedImages:
    """The images of a shard that have masks, by number; their bytes stay in the tar."""

    def __init__(self, shard: ShardFiles, on_bad: OnBad) -> None:
        self._samples = IndexedShard(
            shard.images, shard.annotations, skip=shard.excluded, on_bad=on_bad
        )
        self.keys = [key for key, masks in self._samples.mask_counts().items() if masks]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, number: int) -> Sample:
        """Raises a BadSample where the tar is not as it was indexed."""
        return self._samples[self.keys[number]]


class TrainingImages(Dataset[DrawnBatch | Exception]):
    """The examples at all positions of the stream; what cannot be used goes to `on_bad`."""

    def __init__(
        self,
        shards: Sequence[ShardFiles],
        make_example: ExampleMaker,
        *,
        mixed_images: int,
        on_bad: OnBad,
    ) -> None:
        counts = [len(AnnotatedImages(shard, on_bad)) for shard in shards]
        self.shards = [shard for shard, count in zip(shards, counts, strict=True) if count]
        if not self.shards:
            raise ValueError(f"{shards[0].images} and the like hold no image with a mask.")
        self.make_example = make_example
        self.on_bad = on_bad
        self.order = ImageOrder(
            [count for count in counts if count],
            [shard.weight for shard in self.shards],
            mixed_images=mixed_images,
            seed=make_example.seed,
        )
        self._open = lru_cache(maxsize=2 * self.order.mixed_shards)(self._open_shard)

    def __getitem__(self, positions: Sequence[int]) -> DrawnBatch | Exception:
        """The batch of some positions.

        An error of the data is returned: raised in a loader process it would lose its sentence.
        """
        try:
            draws = [self.draw(position) for position in positions]
        except (UselessData, OSError) as error:
            return error
        return {
            **collate([draw.example for draw in draws]),
            "sources": [draw.shard.source for draw in draws],
            "phases": [draw.shard.phase for draw in draws],
            "bad_count": sum(draw.bad_count for draw in draws),
        }

    def draw(self, position: int) -> Draw:
        """The example at a position; a useless image is replaced by one that comes soon after."""
        rng = np.random.default_rng((self.make_example.seed, position))
        bad_count = 0
        for _ in range(PATIENCE):
            place, number = self.order[position]
            shard, images = self.shards[place], self._open(place)
            try:
                return Draw(self.make_example(images[number], rng), shard, bad_count)
            except BadSample as error:
                self.on_bad(str(shard.images), images.keys[number], error)
                bad_count += not isinstance(error, NoObjects)
                position += int(rng.integers(1, LOOK_AHEAD))
                last = f"{images.keys[number]} of {shard.images}: {error}"
        raise UselessData(f"{PATIENCE} images in a row were of no use; the last was {last}")

    def _open_shard(self, place: int) -> AnnotatedImages:
        return AnnotatedImages(self.shards[place], self.on_bad)


@dataclass(frozen=True)
class TrainingStream:
    """Batches from `next_position()` on, without end; the ranks take turns.

    Every iteration asks for its position anew, so that an epoch goes on where the last one ended.
    """

    images: TrainingImages
    bad_share: BadShare
    next_position: Callable[[], int]
    batch_size: int
    num_workers: int = 0
    rank: int = 0
    world_size: int = 1

    def __iter__(self) -> Iterator[DrawnBatch]:
        loader = DataLoader(
            self.images,
            sampler=self._positions(),
            batch_size=None,  # a sample is a batch already
            num_workers=self.num_workers,
            multiprocessing_context="fork" if self.num_workers else None,
            pin_memory=torch.cuda.is_available(),
        )
        for batch in loader:
            if isinstance(batch, Exception):
                raise batch
            self.bad_share.add(used=len(batch["keys"]), bad=batch["bad_count"])
            yield batch

    def _positions(self) -> Iterator[range]:
        first = self.next_position() + self.rank * self.batch_size
        for start in count(first, self.world_size * self.batch_size):
            yield range(start, start + self.batch_size)
