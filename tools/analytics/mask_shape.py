"""Where a mask lies and how concave it is, from its run lengths alone."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Int

from sam_train.data.rle import Rle, rle_runs


class MaskShape(NamedTuple):
    """What the runs of a mask say. An empty mask has no centre and no concavity."""

    area: int
    centre_x: float | None  # of the mask's box, as a share of the image's width
    centre_y: float | None
    concavity: float | None
    run_count: int  # background runs included


def mask_shape(rle: Rle) -> MaskShape:
    """Measures a mask without painting it.

    The concavity is 1 - area / area of the convex hull (SAM, Fig. 6), the hull taken around
    whole pixels: 0 for a rectangle, near 1 for a thin ring. Broken runs raise ValueError.
    """
    height, width = rle["size"]
    runs = rle_runs(rle)
    ends = runs.cumsum()
    foreground = runs[1::2] > 0
    area = int(runs[1::2].sum())
    if area == 0:
        return MaskShape(0, None, None, None, len(runs))

    points = _left_corners(ends[0:-1:2][foreground], ends[1::2][foreground], height)
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    # The hull of all corners is that of the left ones, swept one pixel to the right.
    hull_area = cv2.contourArea(cv2.convexHull(points)) + bottom - top
    return MaskShape(
        area=area,
        centre_x=(left + right + 1) / 2 / width,
        centre_y=(top + bottom) / 2 / height,
        concavity=1 - area / hull_area,
        run_count=len(runs),
    )


def _left_corners(
    starts: Int[np.ndarray, " F"], stops: Int[np.ndarray, " F"], height: int
) -> Int[np.ndarray, "P 2"]:
    """The (x, y) of pixels' left corners whose hull is that of all left corners.

    Pixels from `starts` to `stops` (exclusive, counted down the columns) are foreground.
    """
    first, top = np.divmod(starts, height)
    last, bottom = np.divmod(stops - 1, height)
    corners = [(first, top), (last, bottom + 1)]

    # A run that goes over into the next column touches the foot of one and the head of another.
    wraps = last > first
    if wraps.any():
        first, last = first[wraps], last[wraps]
        head, foot = np.zeros_like(first), np.full_like(first, height)
        corners += [(first, foot), (last - 1, foot), (first + 1, head), (last, head)]
    return np.concatenate([np.stack(pair, axis=1) for pair in corners]).astype(np.int32)
