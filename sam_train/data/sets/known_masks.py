"""The masks that came with a set: which are of use, and who hears of those that are not."""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sam_train.data.records import BadSample, Rle
from sam_train.data.rle import rle_area
from sam_train.data.store.bad_samples import OnBad

logger = logging.getLogger(__name__)


class UnusableMask(BadSample):
    """A mask that does not fit its image or cannot be read.

    Where all masks of an image come from one place, the image is unusable with it.
    """


class OrphanMask(BadSample):
    """A mask that no image of the set owns. It is left out."""


class EmptyMask(BadSample):
    """A mask without a pixel. It is left out."""


class UnmaskedImage(BadSample):
    """An image that nobody has annotated, in a set of annotated ones. It is left out."""


def report_orphans(orphans: Mapping[str, str], on_bad: OnBad | None, *, name: str) -> None:
    """Tells `on_bad(name, key, error)` of each orphan (key, why); without it, logs one line."""
    if on_bad is not None:
        for key, reason in orphans.items():
            on_bad(name, key, OrphanMask(reason))
    elif orphans:
        first = next(iter(orphans.values()))
        logger.warning("%s: %d masks have no image; the first: %s", name, len(orphans), first)


def report_unmasked(files: Mapping[str, Path], on_bad: OnBad | None, *, name: str) -> None:
    """Tells `on_bad(name, key, error)` of the images that a set leaves out for lack of masks."""
    for key, file in files.items() if on_bad is not None else ():
        on_bad(name, key, UnmaskedImage(f"{file} has no mask file and is left out"))


def checked_masks(
    masks: Iterable[Rle], size: tuple[int, int], *, source: Path | str, on_bad: OnBad | None = None
) -> list[Rle]:
    """The masks that are not empty. One of another size than its image is an UnusableMask.

    Empty ones go to `on_bad(source, "mask NUMBER", error)`, or are logged.
    """
    kept = []
    for number, mask in enumerate(masks):
        try:
            kept.append(checked_mask(mask, size, name=f"mask {number} of {source}"))
        except EmptyMask as error:
            report_left_out(str(source), f"mask {number}", error, on_bad)
    return kept


def readable_masks(
    annotations: Iterable[Any],
    read: Callable[[Any], Rle],
    size: tuple[int, int],
    *,
    source: Path,
    on_bad: OnBad | None,
) -> list[Rle]:
    """The masks of annotations that lie in one file. One that is of no use costs itself alone.

    It goes to `on_bad(source, "mask ID", error)`, or is logged; without an id it is numbered.
    """
    kept = []
    for number, annotation in enumerate(annotations):
        key = f"mask {annotation.get('id', number) if isinstance(annotation, dict) else number}"
        try:
            kept.append(checked_mask(read(annotation), size, name=f"{key} of {source}"))
        except BadSample as error:
            report_left_out(str(source), key, error, on_bad)
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            unusable = UnusableMask(f"{key} of {source} cannot be read: {error!r}")
            report_left_out(str(source), key, unusable, on_bad)
    return kept


def checked_mask(mask: Rle, size: tuple[int, int], *, name: str) -> Rle:
    """The mask, unless it is empty (EmptyMask), broken or of another size (UnusableMask)."""
    if tuple(mask["size"]) != size:
        height, width = mask["size"]
        raise UnusableMask(
            f"{name} is {width} x {height} pixels, its image {size[1]} x {size[0]}; "
            f"resize one of them"
        )
    try:
        area = rle_area(mask)
    except ValueError as error:
        raise UnusableMask(f"{name} is broken: {error}") from error
    if area == 0:
        raise EmptyMask(f"{name} is empty and is left out")
    return mask


def report_left_out(source: str, key: str, error: BadSample, on_bad: OnBad | None) -> None:
    """Tells `on_bad(source, key, error)` of one mask; without it, logs a line."""
    if on_bad is None:
        logger.warning("%s", error)
    else:
        on_bad(source, key, error)
