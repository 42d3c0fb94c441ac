"""COCO's average precision from detections that are matched (pycocotools, `COCOeval.accumulate`).

LVIS (Gupta et al. 2019) is the same arithmetic with other detections and more categories.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

RECALL_POINTS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class ScoredMatches:
    """The detections of one category in one image, best first, in one range of areas."""

    scores: Float[np.ndarray, " D"]
    matched: Bool[np.ndarray, "T D"]
    ignored: Bool[np.ndarray, "T D"]
    objects: int  # that can be found: not ignored


def average_precision(images: Sequence[ScoredMatches]) -> Float[np.ndarray, " T"] | None:
    """The precision at 101 recalls, averaged, for each threshold; None without an object."""
    objects = sum(image.objects for image in images)
    if objects == 0:
        return None
    scores = np.concatenate([image.scores for image in images])
    order = np.argsort(-scores, kind="stable")
    matched = np.concatenate([image.matched for image in images], axis=1)[:, order]
    counted = ~np.concatenate([image.ignored for image in images], axis=1)[:, order]
    right = (matched & counted).cumsum(1).astype(np.float64)
    wrong = (~matched & counted).cumsum(1).astype(np.float64)

    recall = right / objects
    precision = right / (right + wrong + np.spacing(1))
    # The highest precision at this recall or any beyond it.
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return np.array([_at_recalls(r, p) for r, p in zip(recall, envelope, strict=True)])


def _at_recalls(recall: Float[np.ndarray, " D"], precision: Float[np.ndarray, " D"]) -> float:
    places = np.searchsorted(recall, RECALL_POINTS, side="left")
    return float(np.append(precision, 0.0)[places].mean())


def mean_over_categories(
    by_category: Mapping[int, Sequence[ScoredMatches]],
) -> Float[np.ndarray, " T"] | None:
    """The mean of the categories that have an object, at each threshold."""
    found = [average_precision(by_category[category]) for category in sorted(by_category)]
    known = [precision for precision in found if precision is not None]
    return np.mean(known, axis=0) if known else None


def grouped(matches: Sequence[tuple[int, ScoredMatches]]) -> dict[int, list[ScoredMatches]]:
    """The images of each category."""
    groups: dict[int, list[ScoredMatches]] = defaultdict(list)
    for category, image in matches:
        groups[category].append(image)
    return groups
