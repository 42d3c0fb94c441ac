"""Holes and islands of few pixels, found in the mask's box (SAM, App. B)."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Int

from sam_train.data.run_edges import foreground_box


@dataclass(frozen=True)
class CleanedMask:
    """A mask without small regions, whether it had any, and the area of its largest island."""

    mask: Bool[np.ndarray, "h w"]
    changed: bool
    largest: int


def remove_small_regions(
    mask: Bool[np.ndarray, "H W"], min_area: int
) -> tuple[Bool[np.ndarray, "H W"], bool]:
    """Fills holes, then removes islands, of fewer than `min_area` pixels (8-connected).

    The largest island stays, however small. The flag tells whether a small region was found.
    """
    rows, columns = cleaning_window(foreground_box(mask), mask.shape, min_area)
    cleaned = clean_window(
        mask[rows, columns], corner=(columns.start, rows.start), size=mask.shape, min_area=min_area
    )
    full = mask.copy()
    full[rows, columns] = cleaned.mask
    return full, cleaned.changed


def cleaning_window(
    box: tuple[int, int, int, int], size: tuple[int, int], min_area: int
) -> tuple[slice, slice]:
    """The rows and columns of a mask's box (XYXY, ends exclusive) and a pixel around it.

    Where little is left beyond a side, the window reaches to the side of the image, so that no
    small region extends beyond it. OpenCV labels blocks of 2 x 2 pixels, so an even corner leaves
    its order as it is in the full image; it decides between islands of equal area.
    """
    left, top = (max(0, start - 1) // 2 * 2 for start in box[:2])
    right, bottom = min(box[2] + 1, size[1]), min(box[3] + 1, size[0])
    width, height = right - left, bottom - top
    if top * width < min_area:
        top = 0
    if (size[0] - bottom) * width < min_area:
        bottom = size[0]
    if left * height < min_area:
        left = 0
    if (size[1] - right) * height < min_area:
        right = size[1]
    return slice(top, bottom), slice(left, right)


def clean_window(
    window: Bool[np.ndarray, "h w"],
    *,
    corner: tuple[int, int],
    size: tuple[int, int],
    min_area: int,
) -> CleanedMask:
    """`remove_small_regions` of a mask of `size` (H, W) that is background outside of its
    `cleaning_window`, whose upper left is at the (x, y) `corner`."""
    labels, areas = _regions(~window)
    _add_surroundings(areas, labels, corner, size)
    small_holes = areas < min_area
    small_holes[0] = False
    filled = window | small_holes[labels] if small_holes.any() else window

    labels, areas = _regions(filled)
    small_islands = areas < min_area
    small_islands[0] = False
    changed = bool(small_holes.any() or small_islands.any())
    if len(areas) == 1:
        return CleanedMask(filled, changed, largest=0)
    largest = 1 + int(areas[1:].argmax())
    small_islands[largest] = False
    cleaned = filled & ~small_islands[labels] if small_islands.any() else filled
    return CleanedMask(cleaned, changed, largest=int(areas[largest]))


def _regions(
    mask: Bool[np.ndarray, "h w"],
) -> tuple[Int[np.ndarray, "h w"], Int[np.ndarray, " L"]]:
    """The label of every pixel and the area of every label; label 0 is outside."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    return labels, stats[:, cv2.CC_STAT_AREA].astype(np.int64)


def _add_surroundings(
    areas: Int[np.ndarray, " L"],
    labels: Int[np.ndarray, "h w"],
    corner: tuple[int, int],
    size: tuple[int, int],
) -> None:
    """Adds what lies around the window to the background that reaches its sides.

    Unless it is a side of the image too, a side of the window is background all along.
    """
    (left, top), (height, width) = corner, labels.shape
    below, right = size[0] - top - height, size[1] - left - width
    for label, strip in (
        (labels[0, 0], top * size[1]),
        (labels[-1, 0], below * size[1]),
        (labels[0, 0], left * height),
        (labels[0, -1], right * height),
    ):
        if strip:
            areas[label] += strip
