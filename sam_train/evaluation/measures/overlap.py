"""Overlap of two masks: of their regions, and of bands along their boundaries."""

import math

import cv2
import numpy as np
from jaxtyping import Bool

DILATION_RATIO = 0.02  # of the image's diagonal (Cheng et al. 2021)


def mask_window(mask: Bool[np.ndarray, "H W"]) -> tuple[slice, slice]:
    """The rows and columns outside of which a mask is empty."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return slice(y, y + height), slice(x, x + width)


def grown(window: tuple[slice, slice], margin: int) -> tuple[slice, slice]:
    """The window with a margin on every side, less what the image does not have."""
    rows, columns = (slice(max(0, s.start - margin), s.stop + margin) for s in window)
    return rows, columns


def union_window(a: tuple[slice, slice], b: tuple[slice, slice]) -> tuple[slice, slice]:
    """The smallest window around two, of which the second may be empty."""
    if b[0].start == b[0].stop:
        return a
    rows, columns = (
        slice(min(x.start, y.start), max(x.stop, y.stop)) for x, y in zip(a, b, strict=True)
    )
    return rows, columns


def iou(
    pred: Bool[np.ndarray, "H W"],
    truth: Bool[np.ndarray, "H W"],
    window: tuple[slice, slice] | None = None,
) -> float:
    """Intersection over union; two empty masks have 0. `window` is the truth's, if it is known."""
    window = mask_window(truth) if window is None else window
    known = truth[window]
    shared = int(np.count_nonzero(pred[window] & known))
    union = int(np.count_nonzero(pred)) + int(np.count_nonzero(known)) - shared
    return shared / union if union else 0.0


def boundary_band(
    mask: Bool[np.ndarray, "H W"], dilation_ratio: float = DILATION_RATIO
) -> Bool[np.ndarray, "H W"]:
    """The pixels of a mask within a distance of its outside, which begins at the image's border.

    The IoU of two bands is the boundary IoU of their masks (Cheng et al. 2021).
    The distance is that of a chessboard, `dilation_ratio` times the image's diagonal, at least
    one pixel (bowenc0221/boundary-iou-api, `mask_to_boundary`).
    """
    distance = max(1, round(dilation_ratio * math.hypot(*mask.shape)))
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    window = (slice(y, y + height), slice(x, x + width))
    patch = np.pad(mask[window].view(np.uint8), 1)
    # One square kernel is as many 3 x 3 erosions; the ring of zeros is the nearest outside.
    side = 2 * min(distance, max(width, height)) + 1
    inner = cv2.erode(patch, np.ones((side, side), np.uint8)) if width else patch
    band = mask.copy()
    band[window] &= inner[1:-1, 1:-1] == 0
    return band
