"""Brush strokes, painted the same way every time."""

from collections.abc import Iterable

import cv2
import numpy as np
from jaxtyping import Bool, Int

from data_engine.people.drawing.actions import Action
from data_engine.people.drawing.crops import Crop


def painted(
    mask: Bool[np.ndarray, "h w"], strokes: Iterable[Action], *, corner: tuple[int, int] = (0, 0)
) -> Bool[np.ndarray, "h w"]:
    """The mask after strokes that paint (label 1) or erase (label 0), one after the other.

    A stroke of radius 0.5 is one pixel wide. Points fall into the pixel that they lie in. The
    mask is the part of the image that begins at the (x, y) `corner`.
    """
    canvas = np.ascontiguousarray(mask, np.uint8)
    for stroke in strokes:
        points = _pixels(stroke) - np.array(corner, np.int32)
        points = np.concatenate([points[:1], points])[None]  # of one point, nothing is drawn
        cv2.polylines(canvas, points, isClosed=False, color=stroke.label, thickness=_width(stroke))
    return canvas.astype(bool)


def reach(stroke: Action, size: tuple[int, int]) -> Crop:
    """The part (XYXY) of an image of `size` (H, W) outside of which the stroke paints nothing."""
    points, margin = _pixels(stroke), _width(stroke) // 2 + 2
    first, last = points.min(0) - margin, points.max(0) + margin + 1
    (x0, y0), (x1, y1) = (np.clip(ends, 0, size[::-1]).tolist() for ends in (first, last))
    return x0, y0, x1, y1


def _pixels(stroke: Action) -> Int[np.ndarray, "P 2"]:
    return np.floor(np.array(stroke.coords)).astype(np.int32).reshape(-1, 2)


def _width(stroke: Action) -> int:
    return max(1, round(2 * (stroke.radius or 0.5)))
