"""Images with COCO annotations: instances (also LVIS's) and panoptic segments."""

import os
from collections import defaultdict
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from sam_train.data.images import image_size, read_image
from sam_train.data.records import Rle
from sam_train.data.rle import encode_mask
from sam_train.data.sets.coco_json import CocoJson, read_coco
from sam_train.data.sets.image_folder import file_below, file_keys, image_of_file, require_folder
from sam_train.data.sets.known_masks import (
    UnusableMask,
    checked_masks,
    readable_masks,
    report_orphans,
    report_unmasked,
)
from sam_train.data.sets.labeled_image import ImageList
from sam_train.data.store.bad_samples import OnBad

MIN_POLYGON = 6  # coordinates; pycocotools would take four for a box


class CocoSet(ImageList):
    """Images with a COCO or LVIS instances json (polygons, compressed and plain RLE).

    Regions that stand for a crowd (`iscrowd`) are no single objects and are left out, unless
    `crowds`. What the json gives no image or no pixel goes to `on_bad`.
    """

    def __init__(
        self,
        name: str,
        images: str | os.PathLike[str],
        annotations: str | os.PathLike[str],
        *,
        crowds: bool = False,
        skip: Collection[str] = (),
        on_bad: OnBad | None = None,
    ) -> None:
        coco = read_coco(annotations, name=name)
        annotations_of = defaultdict(list)
        for annotation in coco.annotations:
            if crowds or not annotation.get("iscrowd", 0):
                annotations_of[annotation["image_id"]].append(annotation)

        files, orphans = coco_files(coco, images, name=name)
        report_orphans(orphans, on_bad, name=name)
        labeled = [
            image_of_file(
                key,
                file,
                partial(instance_masks, file, entry, annotations_of[entry["id"]], coco, on_bad),
            )
            for key, file, entry in files
        ]
        super().__init__(name, labeled, skip=skip)


class PanopticSet(ImageList):
    """Images with COCO panoptic PNGs and their json: things and stuff.

    Crowds are left out, unless `crowds`; so are images without an annotation, `on_bad` is told.
    """

    def __init__(
        self,
        name: str,
        images: str | os.PathLike[str],
        panoptic: str | os.PathLike[str],
        annotations: str | os.PathLike[str],
        *,
        crowds: bool = False,
        skip: Collection[str] = (),
        on_bad: OnBad | None = None,
    ) -> None:
        coco = read_coco(annotations, name=name)
        folder = require_folder(panoptic, option="panoptic", name=name)
        entry_of = {entry["image_id"]: entry for entry in coco.annotations}

        files, orphans = coco_files(coco, images, name=name)
        report_orphans(orphans, on_bad, name=name)
        unmasked = {key: file for key, file, image in files if image["id"] not in entry_of}
        report_unmasked(unmasked, on_bad, name=name)
        labeled = [
            image_of_file(
                key,
                file,
                partial(panoptic_masks, file, folder, entry_of[image["id"]], coco, crowds, on_bad),
            )
            for key, file, image in files
            if image["id"] in entry_of
        ]
        super().__init__(name, labeled, skip=skip)


def coco_files(
    coco: CocoJson, images: str | os.PathLike[str], *, name: str
) -> tuple[list[tuple[str, Path, dict[str, Any]]], dict[str, str]]:
    """The key, the file and the json entry of each image, and the orphans with their reasons.

    At least one file must exist. Orphans are annotations without an image and images whose file
    another entry names already.
    """
    root = require_folder(images, option="images", name=name)
    entry_of: dict[Path, dict[str, Any]] = {}
    orphans: dict[str, str] = {}
    for entry in coco.images:
        file = find_coco_image(entry, root)
        if file in entry_of:
            orphans[f"image {entry['id']}"] = (
                f"{coco.path} names {file} for the images {entry_of[file]['id']} and {entry['id']}"
            )
        else:
            entry_of[file] = entry
    if not any(file.is_file() for file in entry_of):
        raise FileNotFoundError(
            f"{name}: {root} holds no image of the json; set `images` to theirs"
        )
    files = [(key, file, entry_of[file]) for key, file in file_keys(entry_of, root).items()]
    return files, orphans | coco.orphans()


def find_coco_image(entry: dict[str, Any], root: Path) -> Path:
    """The file of an image entry; LVIS's images are named by their id alone."""
    by_id = root / f"{entry['id']:012d}.jpg" if isinstance(entry["id"], int) else root / "none"
    by_name = file_below(root, str(entry["file_name"])) if "file_name" in entry else by_id
    return by_id if by_id.is_file() and not by_name.is_file() else by_name


def instance_masks(
    image: Path,
    entry: dict[str, Any],
    annotations: list[dict[str, Any]],
    coco: CocoJson,
    on_bad: OnBad | None,
) -> list[Rle]:
    """The masks of one image's COCO annotations. One that is of no use is left out."""
    size = image_size(image)
    try:
        recorded = (int(entry["height"]), int(entry["width"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableMask(f"{coco.path} has no size of {image.name}: {error!r}") from error
    if recorded != size:
        raise UnusableMask(
            f"{coco.path} says that {image.name} is {recorded[1]} x {recorded[0]} pixels, "
            f"its image {size[1]} x {size[0]}; resize one of them"
        )
    return readable_masks(
        coco.with_known_category(annotations, image, on_bad),
        lambda annotation: coco_rle(annotation["segmentation"], size),
        size,
        source=image,
        on_bad=on_bad,
    )


def coco_rle(segmentation: Any, size: tuple[int, int]) -> Rle:
    """A COCO segmentation, in any of its three forms, as compressed RLE."""
    height, width = size
    if isinstance(segmentation, list):
        rle = polygons_rle(segmentation, size)
    elif isinstance(segmentation["counts"], list):
        height, width = segmentation["size"]
        runs = segmentation["counts"]
        if sum(runs) != height * width or min(runs) < 0:
            raise ValueError(f"the runs of an RLE do not sum to {height} x {width}")
        rle = coco_mask.frPyObjects(segmentation, height, width)
    else:
        rle = segmentation
    counts = rle["counts"]
    return Rle(
        size=[int(side) for side in rle["size"]],
        counts=counts.decode() if isinstance(counts, bytes) else counts,
    )


def polygons_rle(polygons: list[Any], size: tuple[int, int]) -> dict[str, Any]:
    """The union of polygons [x, y, x, y, ...] as pycocotools paints it, for masks of (H, W)."""
    height, width = size
    polygons = [polygon for polygon in polygons if len(polygon) >= MIN_POLYGON]
    if not polygons:
        return coco_mask.frPyObjects({"size": [*size], "counts": [height * width]}, height, width)
    if any(not np.isfinite(p).all() or np.abs(p).max() > 10 * max(size) for p in polygons):
        raise ValueError("a polygon lies far outside its image")
    return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))


def panoptic_masks(
    image: Path,
    folder: Path,
    entry: dict[str, Any],
    coco: CocoJson,
    crowds: bool,
    on_bad: OnBad | None,
) -> list[Rle]:
    """The segments of one panoptic PNG, whose ids are written as R + 256 G + 65536 B."""
    try:
        file = folder / entry["file_name"]
        segments = coco.with_known_category(entry["segments_info"], image, on_bad)
        ids = [segment["id"] for segment in segments if crowds or not segment.get("iscrowd", 0)]
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableMask(f"the segments of {image} cannot be read: {error}") from error
    segment_ids = read_image(file) @ np.array([1, 256, 65536])
    masks = [encode_mask(segment_ids == id) for id in ids]
    return checked_masks(masks, image_size(image), source=file, on_bad=on_bad)
