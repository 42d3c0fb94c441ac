"""A version of a dataset as a set of images, read at any place of its shards."""

from collections.abc import Collection
from functools import partial

import numpy as np
from jaxtyping import UInt8

from sam_train.data.images import check_recorded_size, read_image
from sam_train.data.records import InvalidRecord, Rle
from sam_train.data.sets.image_folder import safe_key
from sam_train.data.sets.known_masks import UnusableMask, checked_masks
from sam_train.data.sets.labeled_image import ImageList, LabeledImage
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
        versions = Dataset(location(dataset))
        images: dict[str, LabeledImage] = {}
        for entry in versions.read(version).shards:
            shard = versions.indexed(entry)
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
        encoded=partial(shard.image_bytes, key),
    )


def load_image(shard: IndexedShard, key: str) -> UInt8[np.ndarray, "H W 3"]:
    """The pixels of an image in a shard. They must be as many as its record says."""
    sample = shard[key]
    image = read_image(sample.image_bytes)
    check_recorded_size((image.shape[0], image.shape[1]), sample.record["image"])
    return image


def shard_masks(shard: IndexedShard, key: str) -> list[Rle]:
    """The masks in the record of an image."""
    try:
        record = shard.record(key)
    except InvalidRecord as error:
        raise UnusableMask(f"the record of {key} cannot be read: {error}") from error
    size = (record["image"]["height"], record["image"]["width"])
    masks = [annotation["segmentation"] for annotation in record["annotations"]]
    return checked_masks(masks, size, source=f"the record of {key}")
