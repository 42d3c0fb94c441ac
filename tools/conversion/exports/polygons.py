"""Masks as COCO polygons that pycocotools paints back to the same pixels."""

from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Bool, Int


def mask_polygons(mask: Bool[np.ndarray, "H W"]) -> list[list[int]]:
    """Outlines [x, y, x, y, ...] along the edges of the pixels.

    COCO takes the union of polygons, which cannot have holes: a part with a hole is cut down
    the middle of the hole into parts without.
    """
    cuts = [0, *hole_columns(mask), mask.shape[1]]
    return [
        [int(side) for point in outline for side in point]
        for left, right in pairwise(cuts)
        for outline in outlines(mask[:, left:right], left)
    ]


def hole_columns(mask: Bool[np.ndarray, "H W"]) -> list[int]:
    """A column through each hole."""
    contours, hierarchy = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    if hierarchy is None:
        return []
    # A contour with a parent is a hole's; it runs over the pixels around the hole.
    columns = (
        contour[..., 0] for contour, of in zip(contours, hierarchy[0], strict=True) if of[3] >= 0
    )
    return sorted({int(x.min() + x.max()) // 2 for x in columns})


def outlines(mask: Bool[np.ndarray, "H W"], left: int) -> list[Int[np.ndarray, "P 2"]]:
    """The corners (x, y) of each part of a mask without holes that lies `left` pixels to the right.

    OpenCV traces the centres of pixels. In the mask of twice the size each pixel has a centre
    in every quarter, which is moved to the corner next to it.
    """
    doubled = mask.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [corners((contour[:, 0] + 1) // 2) + [left, 0] for contour in contours]


def corners(path: Int[np.ndarray, "P 2"]) -> Int[np.ndarray, "C 2"]:
    """The points of a closed path along the grid at which it turns."""
    path = path[(path != np.roll(path, 1, axis=0)).any(1)]
    arriving = np.sign(path - np.roll(path, 1, axis=0))
    leaving = np.roll(arriving, -1, axis=0)
    return path[(arriving != leaving).any(1)]
