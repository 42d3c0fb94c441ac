"""Polygons, rectangles and ellipses of annotation tools as masks, in pixels of the image.

A pixel belongs to a shape if its centre does.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from sam_train.data.records import Rle
from sam_train.data.rle import encode_mask
from sam_train.data.sets.coco_set import coco_rle

Number = int | float
Point = tuple[Number, Number]


def polygon_rle(points: Iterable[Sequence[Number]], size: tuple[int, int]) -> Rle:
    """The mask of (H, W) inside a polygon of (x, y); without three points it is empty."""
    return coco_rle([[float(side) for x, y in points for side in (x, y)]], size)


def rectangle_rle(
    box: Sequence[Number],
    size: tuple[int, int],
    *,
    degrees: Number = 0,
    around: Point | None = None,
) -> Rle:
    """The mask of (H, W) inside a rectangle XYXY, turned clockwise `around` a point (x, y).

    Without a point it turns around its centre.
    """
    x0, y0, x1, y1 = box
    centre = ((x0 + x1) / 2, (y0 + y1) / 2) if around is None else around
    corners = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    return polygon_rle([turned(corner, centre, degrees) for corner in corners], size)


def turned(point: Point, centre: Point, degrees: Number) -> Point:
    """A point (x, y) after a turn, clockwise on the screen, where y grows downwards."""
    if degrees == 0:
        return point
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = point[0] - centre[0], point[1] - centre[1]
    return centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos


def ellipse_rle(
    centre: Point,
    radii: Point,
    size: tuple[int, int],
    *,
    radians: Number = 0,
) -> Rle:
    """The mask of (H, W) inside an ellipse that is turned clockwise."""
    along, across = radii
    if not min(along, across) > 0:
        return encode_mask(np.zeros(size, bool))
    x = np.arange(size[1]) + 0.5 - centre[0]
    y = np.arange(size[0])[:, None] + 0.5 - centre[1]
    cos, sin = math.cos(radians), math.sin(radians)
    distance = ((x * cos + y * sin) / along) ** 2 + ((y * cos - x * sin) / across) ** 2
    return encode_mask(distance <= 1)
