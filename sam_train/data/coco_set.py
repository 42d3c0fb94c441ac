"""Images with COCO annotations: instances (also LVIS's) and panoptic segments."""

import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from sam_train.data.images import image_size, read_image
from sam_train.data.labeled_image import (
    LabeledImage,
    UnusableMask,
    checked_masks,
    file_keys,
    image_of_file,
    require_file,
    require_folder,
    without_skipped,
)
from sam_train.data.records import Rle
from sam_train.data.rle import encode_mask

MIN_POLYGON = 6  # coordinates; pycocotools would take four for a box


class CocoSet:
    """Images with a COCO or LVIS instances json (polygons, compressed and plain RLE).

    Regions that stand for a crowd (`iscrowd`) are no objects and are left out.
    """

    def __init__(
        self,
        name: str,
        images: str | os.PathLike[str],
        annotations: str | os.PathLike[str],
        *,
        skip: Collection[str] = (),
    ) -> None:
        self.name = name
        coco = read_coco(annotations, name=name)

        annotations_of = defaultdict(list)
        for annotation in coco["annotations"]:
            if not annotation.get("iscrowd", 0):
                annotations_of[annotation["image_id"]].append(annotation)

        labeled = [
            image_of_file(
                key, file, partial(instance_masks, file, entry, annotations_of[entry["id"]])
            )
            for key, file, entry in coco_files(coco, images, name=name)
        ]
        self._images = without_skipped(labeled, skip, name=name)

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[LabeledImage]:
        return iter(self._images)


class PanopticSet:
    """Images with COCO panoptic PNGs and their json: things and stuff, without crowds."""

    def __init__(
        self,
        name: str,
        images: str | os.PathLike[str],
        panoptic: str | os.PathLike[str],
        annotations: str | os.PathLike[str],
        *,
        skip: Collection[str] = (),
    ) -> None:
        self.name = name
        coco = read_coco(annotations, name=name)
        folder = require_folder(panoptic, option="panoptic", name=name)
        segments_of = {segments["image_id"]: segments for segments in coco["annotations"]}

        labeled = [
            image_of_file(
                key, file, partial(panoptic_masks, file, folder, segments_of[entry["id"]])
            )
            for key, file, entry in coco_files(coco, images, name=name)
            if entry["id"] in segments_of
        ]
        self._images = without_skipped(labeled, skip, name=name)

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[LabeledImage]:
        return iter(self._images)


def read_coco(file: str | os.PathLike[str], *, name: str) -> dict[str, Any]:
    """The parsed json. A file that is no COCO json is a ValueError."""
    path = require_file(file, option="annotations", name=name)
    try:
        coco = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{name}: {path} is no json: {error}") from error
    if not isinstance(coco, dict) or not {"images", "annotations"} <= coco.keys():
        raise ValueError(f"{name}: {path} is no COCO json, it lacks `images` or `annotations`")
    for entries, key in (("images", "id"), ("annotations", "image_id")):
        if not all(key in entry for entry in coco[entries]):
            raise ValueError(f"{name}: {path} is no COCO json, some of its {entries} lack `{key}`")
    return coco


def coco_files(
    coco: dict[str, Any], images: str | os.PathLike[str], *, name: str
) -> list[tuple[str, Path, dict[str, Any]]]:
    """The key, the file and the json entry of each image. At least one file must exist."""
    root = require_folder(images, option="images", name=name)
    entry_of = {find_coco_image(entry, root): entry for entry in coco["images"]}
    if not any(file.is_file() for file in entry_of):
        raise FileNotFoundError(
            f"{name}: {root} holds no image of the json; set `images` to theirs"
        )
    return [(key, file, entry_of[file]) for key, file in file_keys(entry_of, root).items()]


def find_coco_image(entry: dict[str, Any], root: Path) -> Path:
    """The file of an image entry; LVIS's images are named by their id alone."""
    by_id = root / f"{entry['id']:012d}.jpg" if isinstance(entry["id"], int) else root / "none"
    by_name = root / entry["file_name"] if "file_name" in entry else by_id
    return by_id if by_id.is_file() and not by_name.is_file() else by_name


def instance_masks(
    image: Path, entry: dict[str, Any], annotations: list[dict[str, Any]]
) -> list[Rle]:
    """The masks of one image's COCO annotations."""
    try:
        size = (int(entry["height"]), int(entry["width"]))
        masks = [coco_rle(annotation["segmentation"], size) for annotation in annotations]
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableMask(f"an annotation of {image} cannot be read: {error}") from error
    return checked_masks(masks, image_size(image), source=image)


def coco_rle(segmentation: Any, size: tuple[int, int]) -> Rle:
    """A COCO segmentation, in any of its three forms, as compressed RLE."""
    height, width = size
    if isinstance(segmentation, list):
        polygons = [polygon for polygon in segmentation if len(polygon) >= MIN_POLYGON]
        if not polygons:
            return encode_mask(np.zeros(size, dtype=bool))
        if any(not np.isfinite(p).all() or np.abs(p).max() > 10 * max(size) for p in polygons):
            raise ValueError("a polygon lies far outside its image")
        rle = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    elif isinstance(segmentation["counts"], list):
        height, width = segmentation["size"]
        if sum(segmentation["counts"]) != height * width:
            raise ValueError(f"the runs of an RLE do not sum to {height} x {width}")
        rle = coco_mask.frPyObjects(segmentation, height, width)
    else:
        rle = segmentation
    counts = rle["counts"]
    return Rle(
        size=[int(side) for side in rle["size"]],
        counts=counts.decode() if isinstance(counts, bytes) else counts,
    )


def panoptic_masks(image: Path, folder: Path, entry: dict[str, Any]) -> list[Rle]:
    """The segments of one panoptic PNG, whose ids are written as R + 256 G + 65536 B."""
    file = folder / entry["file_name"]
    segment_ids = read_image(file) @ np.array([1, 256, 65536])
    masks = [
        encode_mask(segment_ids == segment["id"])
        for segment in entry["segments_info"]
        if not segment.get("iscrowd", 0)
    ]
    return checked_masks(masks, image_size(image), source=file)
