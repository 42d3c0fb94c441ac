"""An endless order of the images of many shards: weighted, shuffled, and known at any place."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate
from math import ceil
from typing import NamedTuple

_ROUNDS = 4  # of a Feistel cipher; Luby and Rackoff 1988 prove that four suffice


class Reading(NamedTuple):
    """Successive turns of one shard in an epoch: `size` of them, from the `first` on."""

    shard: int
    first: int
    size: int


class ImageOrder:
    """Says which image comes at a position, from 0 to without end, in constant time and memory.

    An epoch takes each image `weight` times on average. A turn of a shard takes one image; turns
    go through all of its images before one comes again, and the next epoch goes on where this
    one ended. A shard that is taken more than once in an epoch is spread over it.

    An epoch shuffles the shards, cuts them into groups of about `mixed_images` and shuffles the
    images of each group. So a reader needs only the shards of one group at a time.
    """

    def __init__(
        self, counts: Sequence[int], weights: Sequence[float | int], *, mixed_images: int, seed: int
    ) -> None:
        self.counts = list(counts)
        self.turns = [max(1, round(n * w)) for n, w in zip(counts, weights, strict=True)]
        self.readings = [
            reading
            for shard, (turns, weight) in enumerate(zip(self.turns, weights, strict=True))
            for reading in _spread(shard, turns, ceil(weight))
        ]
        self.epoch_size = sum(self.turns)  # images
        self.mixed_images = mixed_images
        self.seed = seed
        self._plan = lru_cache(maxsize=2)(self._plan_epoch)

    @property
    def mixed_shards(self) -> int:
        """How many shards a group has on average, at most."""
        return min(ceil(self.mixed_images * len(self.counts) / self.epoch_size), len(self.counts))

    def __getitem__(self, position: int) -> tuple[int, int]:
        """The shard at a position, and the number of the image in it."""
        epoch, place = divmod(position, self.epoch_size)
        readings, ends, group_ends = self._plan(epoch)

        # Shuffle the place within its group of readings.
        group = bisect_right(group_ends, place)
        start, end = group_ends[group - 1] if group else 0, group_ends[group]
        place = start + shuffled(place - start, end - start, seed=(self.seed, epoch, group))

        # The turn of a shard, counted from the first epoch on, is an image of one pass over it.
        number = bisect_right(ends, place)
        shard, first, size = readings[number]
        turn = epoch * self.turns[shard] + first + place - (ends[number] - size)
        lap, image = divmod(turn, self.counts[shard])
        return shard, shuffled(image, self.counts[shard], seed=(self.seed, -1 - shard, lap))

    def _plan_epoch(self, epoch: int) -> tuple[list[Reading], list[int], list[int]]:
        """The readings of an epoch in order, and where each of them and each group ends."""
        count = len(self.readings)
        order = (shuffled(number, count, seed=(self.seed, epoch)) for number in range(count))
        readings = [self.readings[number] for number in order]
        ends = list(accumulate(reading.size for reading in readings))
        group_ends = [0]
        for end in ends:
            if end - group_ends[-1] >= self.mixed_images:
                group_ends.append(end)
        return readings, ends, [*group_ends[1:], ends[-1]]


def shuffled(index: int, count: int, *, seed: tuple[int, ...]) -> int:
    """Where one of all shuffles of range(count) puts `index`; no list is made.

    A Feistel cipher on the next power of four, walked until it is back in the range (Black and
    Rogaway 2002).
    """
    bits = ((count - 1).bit_length() + 1) // 2
    while True:
        left, right = index >> bits, index & (1 << bits) - 1
        for number in range(_ROUNDS):
            left, right = right, left ^ _hash((*seed, count, number, right)) & (1 << bits) - 1
        index = left << bits | right
        if index < count:
            return index


def _hash(numbers: tuple[int, ...]) -> int:
    return int.from_bytes(blake2b(repr(numbers).encode(), digest_size=8).digest())


def _spread(shard: int, turns: int, parts: int) -> list[Reading]:
    """Cuts the turns of a shard into parts that differ by one at most."""
    bounds = [turns * part // parts for part in range(parts + 1)]
    return [
        Reading(shard, first, end - first)
        for first, end in zip(bounds, bounds[1:], strict=False)
        if end > first
    ]
