"""ODS, OIS, AP and R50 of boundaries from counts (BSDS500's `collect_eval_bdry`)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Num

from sam_train.evaluation.measures.boundaries.boundary_matching import THRESHOLDS, BoundaryCounts

Curve = Float[np.ndarray, " T"]


def boundary_scores(images: Sequence[BoundaryCounts]) -> dict[str, float]:
    """The F at the best threshold of the set, at each image's own best, AP, and recall at 50 %.

    Counts are summed over images before any fraction is taken.
    """
    recall, precision = total_curves(images)
    f = f_measure(recall, precision)
    best = int(f.argmax())
    return {
        "ods": float(f[best]),
        "ods_threshold": float(THRESHOLDS[best]) if len(f) == len(THRESHOLDS) else float(best),
        "ods_recall": float(recall[best]),
        "ods_precision": float(precision[best]),
        "ois": best_per_image(images),
        "ap": average_precision(recall, precision),
        "r50": recall_at_half(recall, precision),
    }


def total_curves(images: Sequence[BoundaryCounts]) -> tuple[Curve, Curve]:
    """Recall and precision at each threshold over all images."""
    found, right, predicted = (
        np.sum([getattr(image, name) for image in images], axis=0)
        for name in ("found", "right", "predicted")
    )
    drawn = sum(image.drawn for image in images)
    return _fraction(found, drawn), _fraction(right, predicted)


def f_measure(recall: Curve, precision: Curve) -> Curve:
    """The harmonic mean, 0 where both are."""
    both = recall + precision
    return 2 * recall * precision / np.where(both > 0, both, 1)


def best_per_image(images: Sequence[BoundaryCounts]) -> float:
    """OIS: the F of the summed counts, each image at the threshold that suits it best."""
    chosen = np.zeros(4)
    for image in images:
        recall = _fraction(image.found, image.drawn)
        best = int(f_measure(recall, _fraction(image.right, image.predicted)).argmax())
        chosen += image.found[best], image.drawn, image.right[best], image.predicted[best]
    recall, precision = _fraction(chosen[::2], chosen[1::2])
    return float(2 * recall * precision / max(recall + precision, 1e-12))


def average_precision(recall: Curve, precision: Curve) -> float:
    """The area under the curve, by its value at 101 recalls; nothing beyond the highest recall."""
    recall, precision = _rising(recall, precision)
    if len(recall) < 2:
        return 0.0
    points = np.linspace(0, 1, 101)
    values = np.interp(points, recall, precision, left=0.0, right=0.0)
    return float(values.sum() / 100)


def recall_at_half(recall: Curve, precision: Curve) -> float:
    """The highest recall at which the precision is still one half, between thresholds linearly."""
    recall, precision = _rising(recall, precision)
    reached = np.nonzero(precision >= 0.5)[0]
    if len(reached) == 0:
        return 0.0
    last = int(reached[-1])
    if last + 1 == len(recall):
        return float(recall[last])
    (r0, r1), (p0, p1) = recall[last : last + 2], precision[last : last + 2]
    return float(r0 + (r1 - r0) * (p0 - 0.5) / (p0 - p1))


def _rising(
    recall: Curve, precision: Curve
) -> tuple[Float[np.ndarray, " R"], Float[np.ndarray, " R"]]:
    """The points where something is predicted, each recall once, ascending."""
    recall, first = np.unique(recall, return_index=True)
    precision = precision[first]
    return recall[recall > 0], precision[recall > 0]


def _fraction(
    part: Num[np.ndarray, "*T"], whole: Num[np.ndarray, "*T"] | int
) -> Float[np.ndarray, "*T"]:
    """Part of whole, 0 of nothing."""
    return part.astype(np.float64) / np.maximum(whole, 1)
