"""Where masks lie and how concave they are, from their run lengths alone."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Int

from sam_train.data.rle import Rle, joined_runs


class MaskShape(NamedTuple):
    """What the runs of a mask say. An empty mask has no centre and no concavity."""

    area: int
    centre_x: float | None  # of the mask's box, as a share of the image's width
    centre_y: float | None
    concavity: float | None
    run_count: int  # background runs included


def mask_shapes(rles: Sequence[Rle]) -> list[MaskShape]:
    """Measures masks without painting them.

    The concavity is 1 - area / area of the convex hull (SAM, Fig. 6), the hull taken around
    whole pixels: 0 for a rectangle, near 1 for a thin ring. Broken runs raise ValueError.
    """
    if not rles:
        return []
    runs, stops = joined_runs(rles)  # several times as fast as one by one
    of_masks = np.split(runs, stops[:-1])
    return [_measured(of_mask, *rle["size"]) for of_mask, rle in zip(of_masks, rles, strict=True)]


def _measured(runs: Int[np.ndarray, " R"], height: int, width: int) -> MaskShape:
    area = int(runs[1::2].sum())
    if area == 0:
        return MaskShape(0, None, None, None, len(runs))

    ends = runs.cumsum()
    foreground = runs[1::2] > 0
    points = _left_corners(ends[0:-1:2][foreground], ends[1::2][foreground], height)
    left, top, box_width, box_height = cv2.boundingRect(points)  # a corner counts as a pixel
    # The hull of all corners is that of the left ones, swept one pixel to the right.
    hull_area = cv2.contourArea(cv2.convexHull(points)) + box_height - 1
    return MaskShape(
        area=area,
        centre_x=(left + box_width / 2) / width,
        centre_y=(top + (box_height - 1) / 2) / height,
        concavity=1 - area / hull_area,
        run_count=len(runs),
    )


def _left_corners(
    starts: Int[np.ndarray, " F"], stops: Int[np.ndarray, " F"], height: int
) -> Int[np.ndarray, "P 2"]:
    """The (x, y) of pixels' left corners whose hull is that of all left corners.

    Pixels from `starts` to `stops` (exclusive, counted down the columns) are foreground.
    """
    first, last = starts // height, (stops - 1) // height
    x = [first, last]
    y = [starts - first * height, stops - last * height]

    # A run that goes over into the next column touches the foot of one and the head of another.
    wraps = last > first
    if wraps.any():
        first, last = first[wraps], last[wraps]
        head, foot = np.zeros_like(first), np.full_like(first, height)
        x += [first, last - 1, first + 1, last]
        y += [foot, foot, head, head]
    points = np.empty((sum(map(len, x)), 2), np.int32)
    points[:, 0], points[:, 1] = np.concatenate(x), np.concatenate(y)
    return points
