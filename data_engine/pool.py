"""The images that the engine annotates: in which order, each picture once, and into shards."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_engine.annotation.provenance import Stamp
from data_engine.duplicates import Fingerprint, SeenPictures, fingerprint
from data_engine.executors.local import LocalExecutor
from sam_train.data.images import encode_jpeg, image_size, is_plain_jpeg
from sam_train.data.records import BadSample, Record, Rle, Sample, annotation_from_rle
from sam_train.data.sets.image_folder import safe_key
from sam_train.data.sets.labeled_image import ImageSet, LabeledImage
from sam_train.data.store.bad_samples import OnBad
from sam_train.data.store.manifest import Dataset, ShardEntry
from sam_train.data.store.shards import read_shard, write_shard

Order = Literal["listed", "random"]

READ_AT_ONCE = 16  # images, by each of several readers

# The provenance of masks that came with their image.
FROM_A_SET = Stamp("known", 0, None, None).provenance("set", [], seconds=0.0)


class DuplicateImage(BadSample):
    """A picture that the pool already has under another key."""


class Pool:
    """The images of several sets, under the keys SET-KEY.

    `listed` order is set after set, `random` is shuffled by the seed. Pictures with equal pixels
    count once; `drop_near_duplicates` also drops copies that were recompressed or resized, and
    with them pictures that look alike (frames of a video, empty slides). `limit` counts what
    is left.
    """

    def __init__(
        self,
        sets: Sequence[ImageSet],
        *,
        limit: int | None = None,
        order: Order = "listed",
        seed: int = 0,
        drop_near_duplicates: bool = False,
    ) -> None:
        if order not in ("listed", "random"):
            raise ValueError(f"there is no order {order!r}, only listed and random")
        if limit is not None and limit < 1:
            raise ValueError(f"a pool of at most {limit} images is empty; set `limit` higher")
        self.limit = limit
        self._sets = list(sets)
        self._order = order
        self._seed = seed
        self._drop_near_duplicates = drop_near_duplicates

    @classmethod
    def of_images(cls, name: str, images: Iterable[LabeledImage]) -> "Pool":
        """A pool of images that have been in one before, under the keys from there."""
        pool = cls([])
        pool._listed = {image.key: (name, image) for image in images}
        return pool

    @property
    def source(self) -> str:
        """The names of the sets."""
        return ", ".join(image_set.name for image_set in self._sets)

    def __len__(self) -> int:
        """How many images there are at most: bad ones and duplicates show when they are read."""
        return min(len(self._listed), self.limit or len(self._listed))

    def __iter__(self) -> Iterator[LabeledImage]:
        return self.images()

    def images(self, on_bad: OnBad | None = None, *, readers: int = 1) -> Iterator[LabeledImage]:
        """Yields each usable picture once, up to the limit; the order is the same every time.

        Reads every image, in as many processes as there are `readers`. One that cannot be read
        goes to `on_bad(set, key, error)`; without it, it raises. So do duplicates, but without
        `on_bad` these are passed over.
        """
        usable = self._usable(on_bad, readers)
        return usable if self.limit is None else islice(usable, self.limit)

    def keys(self) -> list[str]:
        """The keys in order, at most `limit`; bad images and duplicates are among them."""
        return list(islice(self._listed, self.limit))

    def image(self, key: str) -> LabeledImage:
        """One image, without looking at the others."""
        if key not in self._listed:
            raise ValueError(
                f"the pool holds no image {key!r}; it is another pool's, or was skipped"
            )
        return self._listed[key][1]

    def only(self, keys: Collection[str]) -> "Pool":
        """A pool of these images alone, in the same order."""
        part = copy(self)
        part.limit = None
        part._listed = {key: item for key, item in self._listed.items() if key in keys}
        return part

    def known_masks(self, key: str) -> list[Rle]:
        """The masks that came with an image, at its upright size."""
        return self.image(key).masks()

    def _usable(self, on_bad: OnBad | None, readers: int) -> Iterator[LabeledImage]:
        seen = SeenPictures()
        for key, picture in self._fingerprints(readers):
            name, image = self._listed[key]
            if isinstance(picture, Exception):
                if on_bad is None:
                    raise picture
                on_bad(name, key, picture)
                continue
            twin = seen.twin_or_add(key, picture)
            if twin is None:
                yield image
            elif on_bad is not None:
                on_bad(name, key, DuplicateImage(f"it shows the same as {twin}"))

    def _fingerprints(self, readers: int) -> Iterator[tuple[str, Fingerprint | Exception]]:
        """That of each image, or why it has none, in the pool's order."""
        keys, size = list(self._listed), READ_AT_ONCE if readers > 1 else 1
        parts = [(start, keys[start : start + size]) for start in range(0, len(keys), size)]
        early: dict[int, list[Fingerprint | Exception]] = {}
        next_start = 0
        for start, pictures in LocalExecutor(readers).run(self._read_part, parts):
            early[start] = pictures
            while next_start in early:
                part = early.pop(next_start)
                yield from zip(keys[next_start : next_start + size], part, strict=True)
                next_start += size

    def _read_part(self, part: tuple[int, list[str]]) -> tuple[int, list[Fingerprint | Exception]]:
        start, keys = part
        return start, [self._read(key) for key in keys]

    def _read(self, key: str) -> Fingerprint | Exception:
        try:
            return fingerprint(self._listed[key][1].load(), near=self._drop_near_duplicates)
        except (ValueError, OSError) as error:
            return error

    @cached_property
    def _listed(self) -> dict[str, tuple[str, LabeledImage]]:
        """The set's name and the image under each key, in the pool's order."""
        listed: dict[str, tuple[str, LabeledImage]] = {}
        for image_set in self._sets:
            if safe_key(image_set.name) != image_set.name:
                raise ValueError(
                    f"the set {image_set.name!r} needs a name of letters, digits, - and _"
                )
            for image in image_set:
                key = f"{image_set.name}-{image.key}"
                if key in listed:
                    raise ValueError(f"two images of the pool have the key {key}; rename a set")
                listed[key] = (image_set.name, replace(image, key=key))
        if not listed:
            raise ValueError("the pool holds no image; give it at least one set")
        if self._order == "listed":
            return listed
        keys = list(listed)
        order = np.random.default_rng(self._seed).permutation(len(keys))
        return {keys[i]: listed[keys[i]] for i in order}


def single_set_pool(
    image_set: Callable[..., ImageSet],
    *,
    limit: int | None = None,
    order: Order = "listed",
    seed: int = 0,
    drop_near_duplicates: bool = False,
    **arguments: Any,
) -> Pool:
    """A pool of one set whose arguments stand beside the pool's own: `pool.path=PHOTOS`."""
    return Pool(
        [image_set(**arguments)],
        limit=limit,
        order=order,
        seed=seed,
        drop_near_duplicates=drop_near_duplicates,
    )


def ingest(
    pool: Pool,
    dataset_root: Path,
    *,
    name: str,
    images_per_shard: int,
    with_masks: bool = False,
    on_bad: OnBad | None = None,
    readers: int = 1,
) -> list[ShardEntry]:
    """Writes the pool into the image shards NAME-000000.tar, ... and returns their entries.

    `with_masks` also writes the masks that came with the images. A shard that is there already
    is kept; it must come from the same pool.
    """
    images, entries = pool.images(on_bad, readers=readers), list[ShardEntry]()
    while batch := list(islice(images, images_per_shard)):
        shard = dataset_root / "images" / f"{name}-{len(entries):06d}.tar"
        if shard.exists():
            _require_same_images(shard, batch)
        else:
            first_id = len(entries) * images_per_shard + 1
            write_shard(shard, _samples(shard, batch, first_id, with_masks, on_bad))
        entries.append(Dataset(dataset_root).entry(shard, source=pool.source, phase="known"))
    if not entries:
        raise ValueError(f"no image of {pool.source} can be used; the bad ones were reported")
    return entries


def _require_same_images(shard: Path, batch: list[LabeledImage]) -> None:
    """A shard of an earlier, interrupted run may only hold images that it would get now."""
    foreign = {sample.key for sample in read_shard(shard)} - {image.key for image in batch}
    if foreign:
        raise ValueError(
            f"{shard} was written from another pool (it holds {min(foreign)}); "
            f"choose another folder or delete it"
        )


def _samples(
    shard: Path, images: list[LabeledImage], first_id: int, with_masks: bool, on_bad: OnBad | None
) -> Iterator[Sample]:
    """The images as samples; one whose file or masks turn out bad is reported and left out."""
    for image_id, image in enumerate(images, start=first_id):
        try:
            yield to_sample(image, image_id=image_id, with_masks=with_masks)
        except (ValueError, OSError) as error:
            if on_bad is None:
                raise
            on_bad(str(shard), image.key, error)


def to_sample(image: LabeledImage, *, image_id: int, with_masks: bool) -> Sample:
    """The image as JPEG with its record. Bytes that every JPEG decoder reads alike are kept."""
    image_bytes = image.encoded() if image.encoded is not None else b""
    if not image_bytes or not is_plain_jpeg(image_bytes):
        image_bytes = encode_jpeg(image.load())
    height, width = image_size(image_bytes)
    file_name = f"{image.key}.jpg"
    masks = image.masks() if with_masks else []
    record: Record = {
        "image": {
            "image_id": image_id,
            "width": width,
            "height": height,
            "file_name": file_name,
        },
        "annotations": [
            annotation_from_rle(rle, id=id, provenance=FROM_A_SET)
            for id, rle in enumerate(masks, start=1)
        ],
    }
    return Sample(image.key, image_bytes, record)
