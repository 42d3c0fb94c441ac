"""Images with regions drawn in the VGG Image Annotator (VIA 1 and 2), saved as json.

Formats: https://www.robots.ox.ac.uk/~vgg/software/via/ (a project, or its exported annotations).
"""

import json
import os
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

from sam_train.data.images import image_size
from sam_train.data.records import Rle
from sam_train.data.sets.annotation_tools.drawn_shapes import (
    ellipse_rle,
    polygon_rle,
    rectangle_rle,
)
from sam_train.data.sets.image_folder import (
    file_below,
    file_keys,
    image_of_file,
    require_file,
    require_folder,
)
from sam_train.data.sets.known_masks import readable_masks
from sam_train.data.sets.labeled_image import ImageList
from sam_train.data.store.bad_samples import OnBad

Shape = dict[str, Any]  # a region's `shape_attributes`


class ViaSet(ImageList):
    """Images with the regions of a VIA json: polygons, rectangles, circles and ellipses.

    A pixel belongs to a region if its centre does. Points and lines have no area: like other
    empty masks they go to `on_bad`.
    """

    def __init__(
        self,
        name: str,
        images: str | os.PathLike[str],
        annotations: str | os.PathLike[str],
        *,
        skip: Collection[str] = (),
        on_bad: OnBad | None = None,
    ) -> None:
        root = require_folder(images, option="images", name=name)
        shapes_of = read_via(annotations, root, name=name)
        if not any(file.is_file() for file in shapes_of):
            raise FileNotFoundError(
                f"{name}: {root} holds no image of the json; set `images` to theirs"
            )
        labeled = [
            image_of_file(key, file, partial(via_masks, file, shapes_of[file], on_bad))
            for key, file in file_keys(shapes_of, root).items()
        ]
        super().__init__(name, labeled, skip=skip)


def read_via(file: str | os.PathLike[str], root: Path, *, name: str) -> dict[Path, list[Shape]]:
    """The shapes of each image file below root. A file that is no VIA json is a ValueError."""
    path = require_file(file, option="annotations", name=name)
    try:
        via = json.loads(path.read_bytes())
        entries = via.get("_via_img_metadata", via).values()
        shapes_of: dict[str, list[Shape]] = {}
        for entry in entries:
            regions = entry["regions"]
            regions = regions.values() if isinstance(regions, dict) else regions  # VIA 1, VIA 2
            shapes = [region["shape_attributes"] for region in regions]
            shapes_of.setdefault(str(entry["filename"]), []).extend(shapes)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{name}: {path} is no VIA 1 or 2 json ({error!r}); export the annotations as json "
            f"there, VIA 3 as COCO"
        ) from error
    return {file_below(root, image): shapes for image, shapes in shapes_of.items()}


def via_masks(image: Path, shapes: list[Shape], on_bad: OnBad | None) -> list[Rle]:
    """The regions of one image as masks. One that is of no use is left out."""
    size = image_size(image)
    return readable_masks(
        shapes, lambda shape: shape_rle(shape, size), size, source=image, on_bad=on_bad
    )


def shape_rle(shape: Shape, size: tuple[int, int]) -> Rle:
    """A VIA shape, in pixels of the image, as a mask of (H, W). Points and lines are empty."""
    kind = shape["name"]
    if kind == "polygon":
        points = zip(shape["all_points_x"], shape["all_points_y"], strict=True)
        return polygon_rle(points, size)
    if kind == "rect":
        left, top = shape["x"], shape["y"]
        return rectangle_rle((left, top, left + shape["width"], top + shape["height"]), size)
    if kind in ("circle", "ellipse"):
        radii = (shape["r"],) * 2 if kind == "circle" else (shape["rx"], shape["ry"])
        centre, theta = (shape["cx"], shape["cy"]), shape.get("theta", 0)
        return ellipse_rle(centre, radii, size, radians=theta)
    if kind in ("point", "polyline", "line"):
        return polygon_rle([], size)
    raise ValueError(f"there is no shape {kind!r}")
