"""Which images and masks of a set are evaluated: all, or a sample that does not depend on order."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from sam_train.data.records import Rle
from sam_train.data.rle import decode_rle, encode_mask
from sam_train.data.sets.known_masks import EmptyMask, UnusableMask
from sam_train.data.sets.labeled_image import ImageSet, LabeledImage
from sam_train.data.store.bad_samples import OnBad


@dataclass(frozen=True)
class Sampling:
    """How much of every set is evaluated; None is all of it.

    `max_masks` takes whole images until the number is reached, as the paper thins its large
    sets (SAM, App. D.1). Images and masks are drawn by the hash of their key, so the sample is
    the same on every machine.
    """

    max_masks: int | None = None  # of a set
    max_masks_per_image: int | None = None
    max_images: int | None = None  # of a set


@dataclass(frozen=True)
class ChosenImage:
    """An image by its place in the set, and the indices of its masks; None is all of them."""

    index: int
    key: str
    mask_ids: tuple[int, ...] | None = None


@dataclass(frozen=True)
class EvaluatedImage:
    """One decoded image with the masks that are played on it, by their index in the set.

    Pixels that are `ignored` are in no mask.
    """

    key: str
    image: UInt8[np.ndarray, "H W 3"]
    masks: dict[int, Rle]
    labeled: LabeledImage | None = None  # with whatever else the set knows
    ignored: Bool[np.ndarray, "H W"] | None = None

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[:2]


def choose_images(
    image_set: ImageSet, sampling: Sampling, *, on_bad: OnBad | None = None
) -> list[ChosenImage]:
    """The sample of a set. Masks are read only where they must be counted.

    An image whose masks cannot be read goes to `on_bad(set, key, error)`, or raises.
    """
    found = [(index, labeled) for index, labeled in enumerate(image_set)]
    if sampling.max_masks is not None or sampling.max_images is not None:
        found.sort(key=lambda pair: _draw(pair[1].key))
    found = found[: sampling.max_images]
    if sampling.max_masks is None and sampling.max_masks_per_image is None:
        return [ChosenImage(index, labeled.key) for index, labeled in found]
    return list(_until_enough(found, sampling, on_bad, image_set.name))


def _until_enough(
    found: Iterable[tuple[int, LabeledImage]],
    sampling: Sampling,
    on_bad: OnBad | None,
    name: str,
) -> Iterator[ChosenImage]:
    left = sampling.max_masks
    for index, labeled in found:
        if left == 0:
            return
        try:
            count = len(labeled.masks())
        except (ValueError, OSError) as error:
            if on_bad is None:
                raise
            on_bad(name, labeled.key, error)
            continue
        limits = (count, sampling.max_masks_per_image, left)
        drawn = _drawn_masks(labeled.key, count, min(n for n in limits if n is not None))
        left = None if left is None else left - len(drawn)
        if drawn:
            yield ChosenImage(index, labeled.key, drawn)


def read_chosen(
    images: Sequence[LabeledImage], chosen: ChosenImage, *, name: str, on_bad: OnBad | None = None
) -> EvaluatedImage | None:
    """The pixels and masks of a chosen image; None where it cannot be read and `on_bad` is told."""
    labeled = images[chosen.index]
    try:
        masks, image = labeled.masks(), labeled.load()
        ids = range(len(masks)) if chosen.mask_ids is None else chosen.mask_ids
        read_ignored = getattr(labeled, "ignored", None)
        ignored = read_ignored() if read_ignored is not None else None
        kept = {id: masks[id] for id in ids}
        for id, rle in kept.items():
            if tuple(rle["size"]) != image.shape[:2]:
                raise UnusableMask(f"mask {id} of {labeled.key} has another size than its image")
    except (ValueError, OSError) as error:
        if on_bad is None:
            raise
        on_bad(name, labeled.key, error)
        return None
    if ignored is not None:
        kept = _without_ignored(kept, ignored, labeled, name=name, on_bad=on_bad)
    return EvaluatedImage(labeled.key, image, kept, labeled, ignored)


def evaluated_images(
    image_set: ImageSet,
    *,
    max_masks: int | None = None,
    max_masks_per_image: int | None = None,
    on_bad: OnBad | None = None,
) -> Iterator[EvaluatedImage]:
    """Reads the images of a sample that hold a mask, one after the other."""
    sampling = Sampling(max_masks, max_masks_per_image)
    images = list(image_set)
    for chosen in choose_images(image_set, sampling, on_bad=on_bad):
        evaluated = read_chosen(images, chosen, name=image_set.name, on_bad=on_bad)
        if evaluated is not None and evaluated.masks:
            yield evaluated


def _without_ignored(
    masks: dict[int, Rle],
    ignored: Bool[np.ndarray, "H W"],
    labeled: LabeledImage,
    *,
    name: str,
    on_bad: OnBad | None,
) -> dict[int, Rle]:
    """The masks less the ignored pixels; one that is left empty goes to `on_bad`."""
    kept = {}
    for id, rle in masks.items():
        mask = decode_rle(rle) & ~ignored
        if mask.any():
            kept[id] = encode_mask(mask)
        elif on_bad is not None:
            lost = EmptyMask(f"mask {id} of {labeled.key} lies in ignored pixels and is left out")
            on_bad(name, f"{labeled.key}, mask {id}", lost)
    return kept


def _drawn_masks(key: str, count: int, wanted: int) -> tuple[int, ...]:
    drawn = sorted(range(count), key=lambda index: _draw(f"{key}/{index}"))[:wanted]
    return tuple(sorted(drawn))


def _draw(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
