"""A version of a dataset as a set of images, read at any place of its shards."""

import os
import tarfile
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8

from sam_train.data.images import image_size, read_image
from sam_train.data.labeled_image import (
    LabeledImage,
    UnusableMask,
    checked_masks,
    no_masks,
    safe_key,
    without_skipped,
)
from sam_train.data.manifest import Dataset
from sam_train.data.records import Rle, parse_record


class Slice(NamedTuple):
    """Where a member's bytes lie."""

    tar: Path
    offset: int
    size: int

    def read(self) -> bytes:
        with self.tar.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


class ShardSet:
    """All images of a dataset version with their current masks."""

    def __init__(
        self,
        name: str,
        dataset: str | os.PathLike[str],
        *,
        version: int | Literal["latest"] = "latest",
        skip: Collection[str] = (),
    ) -> None:
        self.name = name
        root = Path(dataset).expanduser()
        images: dict[str, LabeledImage] = {}
        for entry in Dataset(root).read(version).shards:
            layer = root / entry.annotations if entry.annotations else None
            for image in shard_images(root / entry.images, layer):
                if image.key in images:
                    raise ValueError(f"{name}: {dataset} holds two images with key {image.key}")
                images[image.key] = image
        self._images = without_skipped(list(images.values()), skip, name=name)

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[LabeledImage]:
        return iter(self._images)


def shard_images(shard: Path, layer: Path | None) -> Iterator[LabeledImage]:
    """The images of a shard; the layer's masks go before those beside the image."""
    images, records = tar_slices(shard)
    if layer is not None:
        records |= tar_slices(layer)[1]
    for key, image in images.items():
        record = records.get(key)
        masks = no_masks if record is None else partial(record_masks, image, record)
        yield LabeledImage(key, partial(load_slice, image), masks, encoded=image.read)


def tar_slices(tar: Path) -> tuple[dict[str, Slice], dict[str, Slice]]:
    """The images and the records of a tar by key, found by the headers alone."""
    images: dict[str, Slice] = {}
    records: dict[str, Slice] = {}
    try:
        with tarfile.open(tar, "r:") as members:
            for member in members:
                name = PurePosixPath(member.name)
                slices = records if name.suffix == ".json" else images
                if member.isfile():
                    key = safe_key(name.with_suffix("").as_posix())
                    slices[key] = Slice(tar, member.offset_data, member.size)
    except tarfile.TarError as error:
        raise ValueError(f"{tar} is no whole tar ({error}); copy it again") from error
    return images, records


def load_slice(image: Slice) -> UInt8[np.ndarray, "H W 3"]:
    """The pixels of an image in a tar."""
    return read_image(image.read())


def record_masks(image: Slice, record: Slice) -> list[Rle]:
    """The masks in the record of an image."""
    try:
        annotations = parse_record(record.read())["annotations"]
    except ValueError as error:
        raise UnusableMask(f"a record of {record.tar} cannot be read: {error}") from error
    masks = [annotation["segmentation"] for annotation in annotations]
    return checked_masks(masks, image_size(image.read()), source=record.tar)
