"""Which masks show the same object: overlap of run-length masks."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from sam_train.data.records import Annotation, Rle
from sam_train.data.rle import rle_iou


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


def covered(mask: Rle, others: Mapping[int, Rle], *, duplicate_iou: float) -> int | None:
    """The first of the others (by id) that shows the same object as the mask."""
    if not others:
        return None
    overlaps = rle_iou([mask], list(others.values()))[0]
    return next(
        (id for id, iou in zip(others, overlaps, strict=True) if iou >= duplicate_iou), None
    )
