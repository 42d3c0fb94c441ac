"""The order in which people label objects (Segment Anything, section 4: order of prominence)."""

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

RING = 0.15  # width of the compared surroundings, as a share of the object's longer side


def prominence(image: UInt8[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"]) -> float:
    """How much an object strikes the eye: large, near the centre, unlike its surroundings.

    The paper gives no formula. Ours is the object's share of the image's side, halved at the
    corners of the image, times its colour contrast against the ring around it.
    """
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0.0
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    from_centre = np.hypot((top + bottom) / height - 1, (left + right) / width - 1) / np.sqrt(2)
    share = np.sqrt(mask.mean())

    # Everything else is measured in the object's box, widened by the ring.
    margin = max(2, round(RING * max(bottom - top, right - left)))
    window = np.s_[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin]
    return float(share * (1 - from_centre / 2) * contrast(image[window], mask[window]))


def contrast(image: UInt8[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"]) -> float:
    """The distance of the mean colours inside and outside a mask, between 0.1 and 1.1."""
    if mask.all():
        return 0.1
    inside, outside = (
        np.array(cv2.mean(image, where.astype(np.uint8))[:3]) for where in (mask, ~mask)
    )
    return 0.1 + float(np.linalg.norm(inside - outside)) / (255 * np.sqrt(3))
