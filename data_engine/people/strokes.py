"""Brush strokes, painted the same way every time."""

from collections.abc import Iterable

import cv2
import numpy as np
from jaxtyping import Bool

from data_engine.people.actions import Action


def painted(mask: Bool[np.ndarray, "H W"], strokes: Iterable[Action]) -> Bool[np.ndarray, "H W"]:
    """The mask after strokes that paint (label 1) or erase (label 0), one after the other.

    A stroke of radius 0.5 is one pixel wide. Points fall into the pixel that they lie in.
    """
    canvas = np.ascontiguousarray(mask, np.uint8)
    for stroke in strokes:
        points = np.floor(np.array(stroke.coords)).astype(np.int32).reshape(-1, 2)
        points = np.concatenate([points[:1], points])[None]  # of one point, nothing is drawn
        width = max(1, round(2 * (stroke.radius or 0.5)))
        cv2.polylines(canvas, points, isClosed=False, color=stroke.label, thickness=width)
    return canvas.astype(bool)
