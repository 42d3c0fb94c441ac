"""What a set of images is, and how its files are found, named and checked."""

import hashlib
import logging
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from sam_train.data.images import read_image
from sam_train.data.records import BadSample, Rle
from sam_train.data.rle import rle_area
from sam_train.data.store.bad_samples import OnBad

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"}
MAX_KEY_LENGTH = 100

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


def no_masks() -> list[Rle]:
    """The masks of an image that nobody has annotated yet."""
    return []


def image_of_file(key: str, file: Path, masks: Callable[[], list[Rle]] = no_masks) -> LabeledImage:
    """The image in a file."""
    return LabeledImage(key, partial(read_image, file), masks, encoded=file.read_bytes)


def find_images(folder: str | os.PathLike[str], *, option: str, name: str) -> list[Path]:
    """All image files below the folder, sorted, without hidden ones.

    A folder that is missing or holds no image is an error that names `option`, the key of the
    set's config that gave it.
    """
    root = require_folder(folder, option=option, name=name)
    files = sorted(
        file
        for file in root.rglob("*")
        if file.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(root).parts)
        and file.is_file()
    )
    if not files:
        raise ValueError(f"{name}: {root} holds no image; set `{option}` to a folder of images")
    return files


def require_folder(folder: str | os.PathLike[str], *, option: str, name: str) -> Path:
    """The folder as a path; one that is not there is an error that names the config key."""
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"{name}: there is no folder {root}; set `{option}` to one")
    return root


def require_file(file: str | os.PathLike[str], *, option: str, name: str) -> Path:
    """The file as a path; one that is not there is an error that names the config key."""
    path = Path(file).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{name}: there is no file {path}; set `{option}` to one")
    return path


def safe_key(name: str) -> str:
    """The name with only letters, digits, `_` and `-`: no dot, which ends a key in a tar."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")


def file_keys(files: Iterable[Path], root: Path) -> dict[str, Path]:
    """A unique key for every file, from its path below root.

    `a/b.jpg` is `a-b`. Where that is taken, empty or too long, a hash of the path is added.
    """
    keys: dict[str, Path] = {}
    for file in files:
        path = file.relative_to(root)
        key = safe_key(path.with_suffix("").as_posix())
        if not key or len(key) > MAX_KEY_LENGTH or key in keys:
            digest = hashlib.sha256(path.as_posix().encode()).hexdigest()[:8]
            key = f"{key[: MAX_KEY_LENGTH - 9]}-{digest}".lstrip("-")
        keys[key] = file
    return keys


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
