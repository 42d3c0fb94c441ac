"""COCO's assignment of predictions to known objects (pycocotools, `COCOeval.evaluateImg`)."""

import numpy as np
from jaxtyping import Bool, Float, Int

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
# COCO's ranges of area, both ends inside.
AREA_RANGES = {
    "all": (0, 1e10),
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, 1e10),
}


def match(
    ious: Float[np.ndarray, "D G"],
    ignored: Bool[np.ndarray, " G"],
    crowd: Bool[np.ndarray, " G"],
    thresholds: Float[np.ndarray, " T"] = IOU_THRESHOLDS,
) -> Int[np.ndarray, "T D"]:
    """The known object that each prediction gets at each threshold, -1 for none.

    Predictions come best score first, and take the free object with the highest IoU of at least
    the threshold, the last of equals. What is `ignored` is only taken when nothing else is left;
    a `crowd` may be taken any number of times.
    """
    found = np.full((len(thresholds), len(ious)), -1)
    if ious.shape[1] == 0:
        return found
    free = np.ones((len(thresholds), len(ignored)), bool)
    limits = np.minimum(thresholds, 1 - 1e-10)
    every = np.arange(len(thresholds))
    for number, overlaps in enumerate(ious):
        fits = free & (overlaps >= limits[:, None])
        best = _last_highest(fits & ~ignored, overlaps)
        spare = _last_highest(fits & ignored, overlaps)
        best = np.where(best >= 0, best, spare)
        found[:, number] = best
        taken = best >= 0
        free[every[taken], best[taken]] = crowd[best[taken]]
    return found


def _last_highest(
    allowed: Bool[np.ndarray, "T G"], overlaps: Float[np.ndarray, " G"]
) -> Int[np.ndarray, " T"]:
    """The last of the allowed objects with the highest overlap at each threshold, -1 for none."""
    values = np.where(allowed, overlaps, -1.0)[:, ::-1]
    place = allowed.shape[1] - 1 - values.argmax(1)
    return np.where(allowed.any(1), place, -1)


def recalls(
    ious: Float[np.ndarray, "D G"],
    crowd: Bool[np.ndarray, " G"] | None = None,
    ignored: Bool[np.ndarray, " G"] | None = None,
) -> Float[np.ndarray, " G"]:
    """The share of COCO's ten thresholds at which each known object is found.

    The mean over objects that are not ignored is the average recall.
    """
    none = np.zeros(ious.shape[1], bool)
    found = match(ious, none if ignored is None else ignored, none if crowd is None else crowd)
    return np.array([(found == g).any(1).mean() for g in range(ious.shape[1])], np.float64)
