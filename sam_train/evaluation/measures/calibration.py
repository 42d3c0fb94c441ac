"""Whether a predicted IoU is the true one: bins of equal width, and their weighted error.

The expected calibration error of Guo et al. 2017, for a predicted quality instead of a
probability: the mean over masks of |mean predicted - mean true| in the mask's bin.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 10


@dataclass(frozen=True)
class Bin:
    """The masks whose predicted IoU lies in a tenth of [0, 1]; others go to the nearest tenth."""

    masks: int
    predicted: float  # means
    true: float


def calibration_bins(predicted: Sequence[float], true: Sequence[float]) -> list[Bin]:
    """The bins that hold masks, lowest first."""
    scores, ious = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    places = np.clip((scores * BINS).astype(int), 0, BINS - 1)
    return [
        Bin(int(inside.sum()), float(scores[inside].mean()), float(ious[inside].mean()))
        for inside in (places == place for place in range(BINS))
        if inside.any()
    ]


def calibration_error(predicted: Sequence[float], true: Sequence[float]) -> float:
    """How far the predicted IoU is off: 0 is perfect."""
    bins = calibration_bins(predicted, true)
    return sum(b.masks * abs(b.predicted - b.true) for b in bins) / sum(b.masks for b in bins)
