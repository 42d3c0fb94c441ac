"""A version of a dataset as a set of images, read at any place of its shards."""

from collections.abc import Collection
from functools import partial

import numpy as np
from jaxtyping import UInt8

from sam_train.data.images import image_size, read_image
from sam_train.data.records import InvalidRecord, Rle
from sam_train.data.sets.labeled_image import (
    ImageList,
    LabeledImage,
    UnusableMask,
    checked_masks,
    safe_key,
)
from sam_train.data.store.locations import Location, location
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import IndexedShard


class ShardSet(ImageList):
    """All images of a dataset version with their current masks."""

    def __init__(
        self,
        name: str,
        dataset: str | Location,
        *,
        version: int | str = "latest",
        skip: Collection[str] = (),
    ) -> None:
        root = location(dataset)
        images: dict[str, LabeledImage] = {}
        for entry in Dataset(root).read(version).shards:
            layer = root / entry.annotations if entry.annotations else None
            shard = IndexedShard(root / entry.images, layer, skip=entry.excluded)
            for key in shard.keys:
                image = shard_image(shard, key)
                if image.key in images:
                    raise ValueError(f"{name}: {dataset} holds two images with key {image.key}")
                images[image.key] = image
        super().__init__(name, images.values(), skip=skip)


def shard_image(shard: IndexedShard, key: str) -> LabeledImage:
    """An image of a shard as the images of other sets are."""
    return LabeledImage(
        safe_key(key),
        partial(load_image, shard, key),
        partial(shard_masks, shard, key),
        encoded=partial(image_bytes, shard, key),
    )


def image_bytes(shard: IndexedShard, key: str) -> bytes:
    """The image as it is stored."""
    return shard[key].image_bytes


def load_image(shard: IndexedShard, key: str) -> UInt8[np.ndarray, "H W 3"]:
    """The pixels of an image in a shard."""
    return read_image(shard[key].image_bytes)


def shard_masks(shard: IndexedShard, key: str) -> list[Rle]:
    """The masks in the record of an image."""
    try:
        sample = shard[key]
    except InvalidRecord as error:
        raise UnusableMask(f"the record of {key} cannot be read: {error}") from error
    masks = [annotation["segmentation"] for annotation in sample.record["annotations"]]
    return checked_masks(masks, image_size(sample.image_bytes), source=f"the record of {key}")
