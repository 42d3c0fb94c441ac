"""Which images and masks of a set are evaluated: all, or a sample that does not depend on order."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from sam_train.data.records import Rle
from sam_train.data.sets.image_sets import ImageSet, LabeledImage
from sam_train.data.store.shards import OnBad


@dataclass(frozen=True)
class EvaluatedImage:
    """One decoded image with the masks that are played on it, by their index in the set."""

    key: str
    image: UInt8[np.ndarray, "H W 3"]
    masks: dict[int, Rle]


def evaluated_images(
    image_set: ImageSet,
    *,
    max_masks: int | None = None,
    max_masks_per_image: int | None = None,
    on_bad: OnBad | None = None,
) -> Iterator[EvaluatedImage]:
    """Reads the images of a set one after the other, with all masks or a sample of them.

    `max_masks` takes whole images until the number is reached, as the paper thins its large
    sets (SAM, App. D.1); images and masks are drawn by the hash of their key, so the sample is
    the same on every machine. An unreadable image goes to `on_bad(set, key, error)`, or raises.
    """
    left = max_masks
    for labeled in _drawn_order(image_set) if max_masks is not None else image_set:
        if left == 0:
            return
        try:
            image, masks = labeled.load(), dict(enumerate(labeled.masks()))
        except (ValueError, OSError) as error:
            if on_bad is None:
                raise
            on_bad(image_set.name, labeled.key, error)
            continue
        masks = _drawn_masks(labeled.key, masks, _smaller(max_masks_per_image, left))
        if left is not None:
            left -= len(masks)
        if masks:
            yield EvaluatedImage(labeled.key, image, masks)


def _drawn_order(images: Iterable[LabeledImage]) -> list[LabeledImage]:
    return sorted(images, key=lambda labeled: _draw(labeled.key))


def _drawn_masks(key: str, masks: dict[int, Rle], count: int | None) -> dict[int, Rle]:
    if count is None:
        return masks
    drawn = sorted(masks, key=lambda index: _draw(f"{key}/{index}"))[:count]
    return {index: masks[index] for index in sorted(drawn)}


def _draw(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _smaller(a: int | None, b: int | None) -> int | None:
    return min((limit for limit in (a, b) if limit is not None), default=None)
