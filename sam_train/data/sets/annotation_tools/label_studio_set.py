"""Images with masks drawn in Label Studio, exported as json (not json-min).

Format: https://labelstud.io/guide/task_format (percentages of the image, brush labels as RLE).
"""

import json
import math
import os
import re
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sam_train.data.images import image_size
from sam_train.data.records import Rle
from sam_train.data.rle import encode_mask
from sam_train.data.sets.annotation_tools.drawn_shapes import (
    ellipse_rle,
    polygon_rle,
    rectangle_rle,
)
from sam_train.data.sets.annotation_tools.image_entries import image_entries
from sam_train.data.sets.annotation_tools.label_studio_rle import unpack_brush
from sam_train.data.sets.image_folder import (
    IMAGE_SUFFIXES,
    file_below,
    file_keys,
    image_of_file,
    require_file,
    require_folder,
)
from sam_train.data.sets.known_masks import UnusableMask, readable_masks
from sam_train.data.sets.labeled_image import ImageList
from sam_train.data.store.bad_samples import OnBad

Region = dict[str, Any]  # an entry of a `result`

SHAPES = ("brush", "polygon", "ellipse", "rectangle")  # their types may end in `labels`
UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts this before the name of an upload


class LabelStudioSet(ImageList):
    """Images with the brush labels, polygons and ellipses of a Label Studio json.

    Rectangles show where an object is, not its shape; they are left out unless `boxes`. Of the
    annotations of one task the one marked as ground truth counts, else the last. Regions that
    cannot be used and tasks without an image go to `on_bad`.
    """

    def __init__(
        self,
        name: str,
        images: str | os.PathLike[str],
        annotations: str | os.PathLike[str],
        *,
        boxes: bool = False,
        skip: Collection[str] = (),
        on_bad: OnBad | None = None,
    ) -> None:
        root = require_folder(images, option="images", name=name)
        tasks = read_tasks(annotations, name=name)
        found = [(find_image(address, root), regions) for address, regions in tasks]
        regions_of = image_entries(found, root, name=name, noun="task", on_bad=on_bad)
        labeled = [
            image_of_file(key, file, partial(region_masks, file, regions_of[file], boxes, on_bad))
            for key, file in file_keys(regions_of, root).items()
        ]
        super().__init__(name, labeled, skip=skip)


def read_tasks(file: str | os.PathLike[str], *, name: str) -> list[tuple[str, list[Region]]]:
    """The address of each image with its regions. A file of another kind is a ValueError."""
    path = require_file(file, option="annotations", name=name)
    try:
        tasks = json.loads(path.read_bytes())
        return [(image_address(task["data"]), regions_of_task(task)) for task in tasks]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{name}: {path} is no json of Label Studio ({error!r:.80}); export the project as "
            f"JSON, not as JSON-MIN"
        ) from error


def image_address(data: dict[str, Any]) -> str:
    """The value of a task that names an image, by whatever key."""
    for value in (data.get("image"), *data.values()):
        if isinstance(value, str) and Path(_path_of(value)).suffix.lower() in IMAGE_SUFFIXES:
            return value
    raise ValueError("the data of a task name no image")


def regions_of_task(task: dict[str, Any]) -> list[Region]:
    annotations = [a for a in task["annotations"] if not a.get("was_cancelled")]
    truth = [annotation for annotation in annotations if annotation.get("ground_truth")]
    regions = (truth or annotations or [{"result": []}])[-1]["result"]
    return [region for region in regions if shape_of(region)]


def shape_of(region: Region) -> str | None:
    """What kind of shape a region is; None for a choice, a text or a relation."""
    kind = region["type"].removesuffix("labels")
    return kind if kind in SHAPES else None


def find_image(address: str, root: Path) -> Path:
    """The file behind an address: by its path below root, else by its name as it was uploaded."""
    path = _path_of(address)
    name = Path(path).name
    for candidate in (path.lstrip("/"), name, UPLOADED.sub("", name)):
        file = file_below(root, candidate)
        if file.is_file():
            return file
    return file


def _path_of(address: str) -> str:
    """The path of an image in an address, which may be that of a local file (`?d=PATH`)."""
    parts = urlsplit(address)
    return parse_qs(parts.query).get("d", [unquote(parts.path)])[0]


def region_masks(
    image: Path, regions: list[Region], boxes: bool, on_bad: OnBad | None
) -> list[Rle]:
    """The regions of one image as masks. One that is of no use is left out."""
    size = image_size(image)
    return readable_masks(
        regions, lambda region: region_rle(region, size, boxes), size, source=image, on_bad=on_bad
    )


def region_rle(region: Region, size: tuple[int, int], boxes: bool) -> Rle:
    """A region as a mask of (H, W); its places are percentages of the image."""
    drawn_on = (region["original_height"], region["original_width"])
    if drawn_on != size or region.get("image_rotation", 0) != 0:
        raise UnusableMask(
            f"region {region.get('id')} was drawn on {drawn_on[1]} x {drawn_on[0]} pixels turned "
            f"by {region.get('image_rotation', 0)} degrees, its image is {size[1]} x {size[0]}"
        )
    value, kind = region["value"], shape_of(region)
    if kind == "brush":
        return encode_mask(unpack_brush(value["rle"], size))
    across, down = size[1] / 100, size[0] / 100
    if kind == "polygon":
        return polygon_rle([(x * across, y * down) for x, y in value["points"]], size)
    corner, turn = (value["x"] * across, value["y"] * down), value.get("rotation", 0)
    if kind == "ellipse":
        radii = (value["radiusX"] * across, value["radiusY"] * down)
        return ellipse_rle(corner, radii, size, radians=math.radians(turn))
    if not boxes:
        raise UnusableMask(f"region {region.get('id')} is a rectangle, no shape of an object")
    far = (corner[0] + value["width"] * across, corner[1] + value["height"] * down)
    return rectangle_rle((*corner, *far), size, degrees=turn, around=corner)
