"""Which masks show the same object: overlap of run-length masks."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from sam_train.data.records import Annotation, Rle
from sam_train.data.rle import rle_area, rle_box, rle_iou


def best_iou(masks: list[Rle], others: list[Rle]) -> Float[np.ndarray, " N"]:
    """For each mask, its largest IoU with any of the others; 0 if there are none."""
    if not masks or not others:
        return np.zeros(len(masks))
    return np.asarray(rle_iou(masks, others), dtype=np.float64).max(1)


def without_duplicates(
    new: list[Annotation], present: list[Annotation], *, duplicate_iou: float
) -> list[Annotation]:
    """The new masks that show nothing present, nor anything earlier among the new.

    Two masks show the same object if their IoU is at least `duplicate_iou`. The new ones are
    expected best first.
    """
    kept: list[Annotation] = []
    shown = [annotation["segmentation"] for annotation in present]
    for annotation in new:
        if best_iou([annotation["segmentation"]], shown)[0] < duplicate_iou:
            kept.append(annotation)
            shown.append(annotation["segmentation"])
    return kept


Extent = tuple[int, int, int, int, int]  # area, and the XYXY box around it


def extent_of(mask: Rle) -> Extent:
    """How much of the image a mask takes, and where."""
    area = rle_area(mask)
    x0, y0, x1, y1 = map(int, rle_box(mask))
    return area, x0, y0, x1, y1


def largest_iou(extent: Extent, others: Sequence[Extent]) -> Float[np.ndarray, " N"]:
    """The IoU that masks of such extents have at most: a bound, without their pixels."""
    area, *box = np.array([extent], np.int64).T
    areas, *boxes = np.array(others, np.int64).reshape(-1, 5).T
    width = np.minimum(box[2], boxes[2]) - np.maximum(box[0], boxes[0])
    height = np.minimum(box[3], boxes[3]) - np.maximum(box[1], boxes[1])
    shared = np.minimum(np.minimum(area, areas), width.clip(0) * height.clip(0))
    return shared / np.maximum(area + areas - shared, 1)


def covered(
    mask: Rle,
    others: Sequence[Rle],
    *,
    extents: tuple[Extent, Sequence[Extent]],
    duplicate_iou: float,
) -> int | None:
    """The place of the first of the others that shows the same object as the mask.

    `extents` are those of the mask and of the others: only the few that they do not rule out are
    compared pixel by pixel.
    """
    (possible,) = np.nonzero(largest_iou(*extents) >= duplicate_iou)
    if not len(possible):
        return None
    overlaps = rle_iou([mask], [others[place] for place in possible.tolist()])[0]
    same = possible[overlaps >= duplicate_iou]
    return int(same[0]) if len(same) else None
