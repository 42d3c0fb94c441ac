"""Images with masks drawn in CVAT, exported as `CVAT for images 1.1`."""

import os
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from sam_train.data.images import image_size
from sam_train.data.records import Rle
from sam_train.data.rle import encode_mask
from sam_train.data.sets.annotation_tools.cvat_xml import CvatImage, CvatXml, Shape
from sam_train.data.sets.annotation_tools.drawn_shapes import (
    ellipse_rle,
    polygon_rle,
    rectangle_rle,
)
from sam_train.data.sets.annotation_tools.image_entries import image_entries
from sam_train.data.sets.coco_json import UnknownCategory
from sam_train.data.sets.image_folder import (
    file_below,
    file_keys,
    image_of_file,
    require_file,
    require_folder,
)
from sam_train.data.sets.known_masks import (
    UnusableMask,
    readable_masks,
    report_left_out,
)
from sam_train.data.sets.labeled_image import ImageList
from sam_train.data.store.bad_samples import OnBad


class CvatSet(ImageList):
    """Images with the masks, polygons and ellipses of a CVAT xml; each shape is an object.

    Boxes show where an object is, not its shape; they are left out unless `boxes`. So are points,
    lines and shapes whose label the xml does not list. `on_bad` is told of all of them.
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
        path = require_file(annotations, option="annotations", name=name)
        try:
            xml = CvatXml(path)
        except ValueError as error:
            raise ValueError(
                f"{name}: {path.name}: {error}; export the task as `CVAT for images 1.1`"
            ) from error
        found = [
            (find_image(image.attributes.get("name", ""), root), image) for image in xml.images
        ]
        image_of = image_entries(found, root, name=name, noun="image", on_bad=on_bad)
        labeled = [
            image_of_file(
                key, file, partial(shape_masks, file, image_of[file], xml.labels, boxes, on_bad)
            )
            for key, file in file_keys(image_of, root).items()
        ]
        super().__init__(name, labeled, skip=skip)


def find_image(name: str, root: Path) -> Path:
    """The file of an image: by its path in the project, else by its name alone."""
    file = file_below(root, name)
    return file if file.is_file() else root / file.name


def shape_masks(
    file: Path, image: CvatImage, labels: set[str], boxes: bool, on_bad: OnBad | None
) -> list[Rle]:
    """The shapes on one image as masks. One that is of no use is left out."""
    size = image_size(file)
    told = tuple(image.attributes.get(side, "none") for side in ("width", "height"))
    if told != (str(size[1]), str(size[0])):
        raise UnusableMask(
            f"the xml says that {file} is {told[0]} x {told[1]} pixels, its image is "
            f"{size[1]} x {size[0]}; resize one of them"
        )
    return readable_masks(
        with_known_label(image.shapes, labels, file, on_bad),
        lambda shape: shape_rle(shape, size, boxes),
        size,
        source=file,
        on_bad=on_bad,
    )


def with_known_label(
    shapes: list[Shape], labels: set[str], file: Path, on_bad: OnBad | None
) -> Iterator[Shape]:
    """The shapes whose label the project has, if the xml says which labels those are."""
    for number, shape in enumerate(shapes):
        if not labels or shape.get("label") in labels:
            yield shape
        else:
            error = UnknownCategory(
                f"the label {shape.get('label')!r:.40} of a shape on {file} is not one of its "
                f"project; it is left out"
            )
            report_left_out(str(file), f"shape {number}", error, on_bad)


def shape_rle(shape: Shape, size: tuple[int, int], boxes: bool) -> Rle:
    """A shape as a mask of (H, W)."""
    kind = shape["shape"]
    if kind == "mask":
        return mask_rle(shape, size)
    if kind == "polygon":
        points = [point.split(",") for point in shape["points"].split(";")]
        return polygon_rle([(float(x), float(y)) for x, y in points], size)
    if kind == "ellipse":
        cx, cy, rx, ry = (float(shape[side]) for side in ("cx", "cy", "rx", "ry"))
        turn = np.radians(float(shape.get("rotation", 0)))
        return ellipse_rle((cx, cy), (rx, ry), size, radians=float(turn))
    if kind == "box" and boxes:
        box = [float(shape[side]) for side in ("xtl", "ytl", "xbr", "ybr")]
        return rectangle_rle(box, size, degrees=float(shape.get("rotation", 0)))
    raise UnusableMask(f"a {kind} is no shape of an object")


def mask_rle(shape: Shape, size: tuple[int, int]) -> Rle:
    """A mask: run lengths in rows of the box around it, background first."""
    left, top, width, height = (int(shape[side]) for side in ("left", "top", "width", "height"))
    runs = np.array([int(run) for run in shape["rle"].split(",")])
    inside = left >= 0 and top >= 0 and left + width <= size[1] and top + height <= size[0]
    if not inside or min(width, height) < 1:
        raise UnusableMask(f"a mask of {width} x {height} pixels lies outside its image")
    if runs.min() < 0 or runs.max() > width * height or runs.sum() != width * height:
        raise UnusableMask(f"the runs of a mask do not sum to {width} x {height} pixels")
    mask = np.zeros(size, bool)
    window = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    mask[top : top + height, left : left + width] = window
    return encode_mask(mask, box=(left, top, left + width, top + height))
