"""What a set of images is: images in a stable order, each with the masks that came with it."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from sam_train.data.records import Rle


@dataclass(frozen=True)
class LabeledImage:
    """An image that is read when asked for, and the masks that came with it.

    `load` gives upright RGB; `masks` has that size and holds no empty mask; `encoded` is the
    file as stored, where there is one. Each raises a ValueError or an OSError that names the file.
    """

    key: str
    load: Callable[[], UInt8[np.ndarray, "H W 3"]]
    masks: Callable[[], list[Rle]]
    encoded: Callable[[], bytes] | None = None


@runtime_checkable
class ImageSet(Protocol):
    """Images in a stable order. Keys are unique in the set and safe as file names."""

    name: str

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[LabeledImage]: ...


class ImageList:
    """An image set whose images are all known from the start, though none is read yet.

    `skip` holds the keys of images that are left out, which keeps training and evaluation apart.
    A key that the set does not hold is an error: a misspelt one would leak silently.
    """

    def __init__(
        self, name: str, images: Iterable[LabeledImage], *, skip: Collection[str] = ()
    ) -> None:
        self.name = name
        self._images = list(images)
        if unknown := set(skip) - {image.key for image in self._images}:
            key = min(unknown, key=str)
            raise ValueError(
                f"{name}: `skip` names {key!r}, which is no key of the set (quote digits)"
            )
        self._images = [image for image in self._images if image.key not in skip]

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[LabeledImage]:
        return iter(self._images)
