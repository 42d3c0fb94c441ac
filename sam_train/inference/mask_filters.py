"""Which masks of the fully automatic phase stay: stability, crop edges, duplicates, small parts."""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchvision.ops import batched_nms

# A mask that ends this close to a crop's edge is taken for a cut object (segment_anything).
EDGE_TOLERANCE = 20


def stability_score(
    mask_logits: Float[Tensor, "N H W"], mask_threshold: float, offset: float
) -> Float[Tensor, " N"]:
    """The IoU of each mask thresholded `offset` above and below the mask threshold.

    The stricter mask lies inside the other, so this is a ratio of areas. A mask that is empty
    at both thresholds scores NaN and passes no filter.
    """
    inner = torch.count_nonzero(mask_logits > mask_threshold + offset, dim=(-2, -1))
    outer = torch.count_nonzero(mask_logits > mask_threshold - offset, dim=(-2, -1))
    return inner / outer


def touches_crop_edge(
    boxes: Int[Tensor, "N 4"], crop_box: tuple[int, int, int, int], original_size: tuple[int, int]
) -> Bool[Tensor, " N"]:
    """Whether a box ends at an edge of its crop that is not an edge of the image too.

    Boxes and crop are XYXY in the frame of the original image.
    """
    height, width = original_size
    crop_edge = boxes.new_tensor(crop_box)
    image_edge = boxes.new_tensor([0, 0, width, height])
    near_crop = (boxes - crop_edge).abs() <= EDGE_TOLERANCE
    near_image = (boxes - image_edge).abs() <= EDGE_TOLERANCE
    return (near_crop & ~near_image).any(dim=-1)


def suppress_duplicates(
    boxes: Int[Tensor, "N 4"], scores: Float[Tensor, " N"], iou_threshold: float
) -> list[int]:
    """The indices that box NMS keeps, best score first."""
    # As one category of batched_nms, equal scores stay in the order that segment_anything has.
    category = torch.zeros(len(boxes), device=boxes.device)
    return batched_nms(boxes.float(), scores, category, iou_threshold).tolist()


def remove_small_regions(
    mask: Bool[np.ndarray, "H W"], min_area: int
) -> tuple[Bool[np.ndarray, "H W"], bool]:
    """Fills holes, then removes islands, of fewer than `min_area` pixels (8-connected).

    The largest island stays, however small. The flag tells whether a small region was found.
    """
    window = _surroundings(mask, margin=min_area)

    labels, _, small_holes = _regions(~mask[window], min_area)
    filled = mask[window] | small_holes[labels]

    labels, areas, small_islands = _regions(filled, min_area)
    found = bool(small_holes.any() or small_islands.any())
    if len(areas) > 1:
        small_islands[1 + areas[1:].argmax()] = False

    cleaned = mask.copy()
    cleaned[window] = filled & ~small_islands[labels]
    return cleaned, found


def _surroundings(mask: Bool[np.ndarray, "H W"], margin: int) -> tuple[slice, slice]:
    """The mask's box and `margin` pixels around it, from an even corner.

    With a margin of the smallest area to keep, background that is cut off by the window is
    never taken for a small hole. OpenCV labels blocks of 2 x 2 pixels, so an even corner
    leaves its order as it is in the full image; it decides between islands of equal area.
    """
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    left, top = (max(0, start - margin) // 2 * 2 for start in (x, y))
    return slice(top, y + height + margin), slice(left, x + width + margin)


def _regions(
    mask: Bool[np.ndarray, "H W"], min_area: int
) -> tuple[Int[np.ndarray, "H W"], Int[np.ndarray, " L"], Bool[np.ndarray, " L"]]:
    """Label of every pixel, area of every label, and which are small; label 0 is outside."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    small = areas < min_area
    small[0] = False
    return labels, areas, small
