"""Images with masks in image files: the ways in which public sets lay them out."""

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Integer

from sam_train.data.images import image_size, open_image
from sam_train.data.records import Rle
from sam_train.data.rle import encode_mask, resize_rle, rle_area
from sam_train.data.sets.image_folder import file_keys, find_images, image_of_file, safe_key
from sam_train.data.sets.known_masks import (
    UnusableMask,
    checked_masks,
    report_orphans,
    report_unmasked,
)
from sam_train.data.sets.labeled_image import ImageList
from sam_train.data.store.bad_samples import OnBad

UNDECIDED = 128  # grey of the band around the object that GrabCut's masks leave open
VOID = 255  # id of the pixels that belong to no object in an 8-bit label image (DAVIS, VOC)

Labels = Integer[np.ndarray, "H W"] | Bool[np.ndarray, "H W"]
Layout = Literal["prefix", "folder", "binary", "components", "label_image"]
FolderPath = str | os.PathLike[str]
Owner = Callable[[Path, Collection[str]], str | None]  # mask's path, keys of images -> its key


class MaskFolderSet(ImageList):
    """Images whose masks are image files. The layout says which file belongs to which image:

    - `prefix`: KEY.jpg has any number of KEY*.png, one object each (COCO-MVal, Berkeley, Med2D);
    - `folder`: everything in MASKS/KEY/ is one object each; where images and masks share a root,
      ROOT/KEY/images/ and ROOT/KEY/masks/ (Data Science Bowl 2018);
    - `binary`: one object in the mask of the same relative path (DAVIS 2016, GrabCut);
    - `components`: as `binary`, but each connected part is an object (ISBI EM);
    - `label_image`: as `binary`, but each value except 0 and 255, each palette index or each
      colour except black is an object (DAVIS, Cutie).

    Images without a mask file, masks without an image and empty masks are left out; `on_bad` is
    told. `resize_masks` fits masks of another size to their image instead of raising; objects
    below `min_area` pixels are taken for specks.
    """

    def __init__(
        self,
        name: str,
        images: FolderPath | Sequence[FolderPath],
        masks: FolderPath,
        *,
        layout: Layout,
        resize_masks: bool = False,
        min_area: int = 1,
        skip: Collection[str] = (),
        on_bad: OnBad | None = None,
    ) -> None:
        if layout not in SPLITS:
            raise ValueError(f"{name}: there is no layout {layout!r}, only {', '.join(SPLITS)}")
        self.name = name
        self._resize_masks = resize_masks
        self._min_area = min_area
        self._split = SPLITS[layout]
        self._on_bad = on_bad

        folders = [images] if isinstance(images, str | os.PathLike) else list(images)
        image_files = self._find_images(folders, layout=layout)
        files_of = self._find_masks(masks, image_files, owner=OWNERS[layout])
        if not files_of:
            raise ValueError(
                f"{name}: no mask in {masks} belongs to an image; "
                f"check `images`, `masks` and `layout` ({layout})"
            )
        unmasked = {key: file for key, file in image_files.items() if key not in files_of}
        report_unmasked(unmasked, on_bad, name=name)
        labeled = [
            image_of_file(key, file, partial(self._masks, file, files_of[key]))
            for key, file in image_files.items()
            if key in files_of
        ]
        super().__init__(name, labeled, skip=skip)

    def _find_images(self, folders: Sequence[FolderPath], *, layout: Layout) -> dict[str, Path]:
        """The images of all folders by key."""
        found: dict[str, Path] = {}
        for folder in folders:
            root = Path(folder).expanduser()
            files = find_images(root, option="images", name=self.name)
            if layout == "folder":
                paths = [file.relative_to(root) for file in files]
                paths = [path for path in paths if "masks" not in path.parts]
                keys = {folder_key(path): root / path for path in paths}
                if len(keys) < len(paths):
                    raise ValueError(f"{self.name}: a folder in {root} holds two images")
            else:
                keys = file_keys(files, root)
            if twice := found.keys() & keys.keys():
                raise ValueError(f"{self.name}: two folders of `images` hold {min(twice)}")
            found |= keys
        return found

    def _find_masks(
        self, folder: FolderPath, image_files: dict[str, Path], *, owner: Owner
    ) -> dict[str, list[Path]]:
        """The mask files of each image that has some."""
        root = Path(folder).expanduser()
        files_of: dict[str, list[Path]] = {}
        orphans: dict[str, str] = {}
        images = set(image_files.values())
        for file in find_images(root, option="masks", name=self.name):
            if file in images:
                continue  # images and masks share a root
            path = file.relative_to(root)
            key = owner(path, image_files)
            if key is None:
                orphans[path.as_posix()] = f"{file} belongs to no image"
            else:
                files_of.setdefault(key, []).append(file)
        report_orphans(orphans, self._on_bad, name=self.name)
        return files_of

    def _masks(self, image: Path, files: Sequence[Path]) -> list[Rle]:
        """The masks of one image, at its size."""
        size = image_size(image)
        masks = []
        for file in files:
            try:
                rles = [encode_mask(mask) for mask in self._split(read_labels(file))]
            except UnusableMask as error:
                raise UnusableMask(f"{file}: {error}") from error
            if self._resize_masks:
                rles = [encode_mask(resize_rle(rle, size=size)) for rle in rles]
            masks += checked_masks(rles, size, source=file, on_bad=self._on_bad)
        return [mask for mask in masks if rle_area(mask) >= self._min_area]


def read_labels(file: Path) -> Labels:
    """The values of a mask file: palette indices and 16-bit ids as they are.

    A file in colours gives R + 256 G + 65536 B, so that no two colours become one object. One of
    floats with a fraction, or with no number, is UnusableMask.
    """
    with open_image(file) as image:
        is_plain = image.mode in {"1", "L", "P", "F"} or image.mode.startswith("I")
        values = np.array(image if is_plain else image.convert("RGB"))
    if not is_plain:
        in_colours = (values != values[..., :1]).any()
        return values @ np.array([1, 256, 65536]) if in_colours else values[..., 0]
    if values.dtype.kind != "f":
        return values
    if not (np.isfinite(values) & (values == np.rint(values))).all():
        raise UnusableMask("a mask of floats holds other than whole numbers; round it")
    return values.astype(np.int64)


# Which image a mask file belongs to


def folder_key(path: Path) -> str:
    """The key of ROOT/KEY/... or ROOT/KEY.jpg."""
    return safe_key(path.parts[0] if len(path.parts) > 1 else path.stem)


def folder_owner(path: Path, keys: Collection[str]) -> str | None:
    """The image that the mask's folder is named after."""
    key = folder_key(path)
    return key if key in keys else None


def same_path_owner(path: Path, keys: Collection[str]) -> str | None:
    """The image with the mask's own relative path."""
    key = safe_key(path.with_suffix("").as_posix())
    return key if key in keys else None


def prefix_owner(path: Path, keys: Collection[str]) -> str | None:
    """The image whose key is the longest start of the mask's. `21` does not own `210_0`."""
    name = safe_key(path.with_suffix("").as_posix())
    for end in range(len(name), 0, -1):
        splits_a_number = name[end - 1 : end + 1].isdigit() and end < len(name)
        if name[:end] in keys and not splits_a_number:
            return name[:end]
    return None


OWNERS: dict[Layout, Owner] = {
    "prefix": prefix_owner,
    "folder": folder_owner,
    "binary": same_path_owner,
    "components": same_path_owner,
    "label_image": same_path_owner,
}


# The objects in a mask file


def object_pixels(labels: Labels) -> Bool[np.ndarray, "H W"]:
    """Where a binary mask holds its object: above 128, or not 0 where it only knows 0 and 1.

    GrabCut's undecided band (128) is not the object. A mask that is neither black nor white for
    the most part is UnusableMask: a label image, of whose ids those above 128 are no object.
    """
    highest = labels.max()
    if highest <= 1:
        return labels > 0
    shown = labels[(labels > 0) & (labels != UNDECIDED)]
    if np.count_nonzero(shown > 0.75 * highest) < len(shown) / 2:
        raise UnusableMask(
            f"a mask of one object holds ids up to {highest}; is its layout label_image?"
        )
    return labels > UNDECIDED


def whole_object(labels: Labels) -> Iterable[Bool[np.ndarray, "H W"]]:
    """The one object of a binary mask."""
    return [object_pixels(labels)]


def connected_parts(labels: Labels) -> Iterable[Bool[np.ndarray, "H W"]]:
    """Each part of a binary mask whose pixels touch along an edge."""
    count, parts = cv2.connectedComponents(object_pixels(labels).astype(np.uint8), connectivity=4)
    return (parts == part for part in range(1, count))


def labeled_objects(labels: Labels) -> Iterable[Bool[np.ndarray, "H W"]]:
    """Each value of a label image except 0 and, in 8 bits, 255."""
    void = VOID if labels.dtype == np.uint8 else 0
    return (labels == value for value in np.unique(labels) if value not in (0, void))


SPLITS: dict[Layout, Callable[[Labels], Iterable[Bool[np.ndarray, "H W"]]]] = {
    "prefix": whole_object,
    "folder": whole_object,
    "binary": whole_object,
    "components": connected_parts,
    "label_image": labeled_objects,
}
