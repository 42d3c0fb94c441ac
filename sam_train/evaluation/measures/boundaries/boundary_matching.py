"""Precision and recall of boundaries: the benchmark of BSDS500, with our own matching.

Martin, Fowlkes, Malik 2004; Arbelaez et al. 2011. A pixel of a predicted boundary and a pixel of
a drawn one may be a pair if they lie within 0.75 % of the image's diagonal; no pixel is in two
pairs. The benchmark finds a cheap assignment on a random sparse graph; here the number of pairs
is the largest possible one, so that nothing in it is random.

Predicted pixels enter one by one, the strongest first. One that finds a partner keeps one for
good, and one that finds none never will, so a single pass gives the matching at every threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

MAX_DISTANCE = 0.0075  # of the diagonal
THRESHOLDS = np.arange(1, 100) / 100


@dataclass(frozen=True)
class BoundaryCounts:
    """For each threshold: the drawn pixels that are found of all, the predicted that are right.

    Drawn pixels are counted for each person; a predicted one is right if it pairs with anyone's.
    """

    found: Int[np.ndarray, " T"]
    drawn: int
    right: Int[np.ndarray, " T"]
    predicted: Int[np.ndarray, " T"]


def count_matches(
    strength: Float[np.ndarray, "H W"],
    drawings: Sequence[Bool[np.ndarray, "H W"]],
    thresholds: Float[np.ndarray, " T"] = THRESHOLDS,
    *,
    max_distance: float = MAX_DISTANCE,
) -> BoundaryCounts:
    """Compares thin boundaries of strength 0 to 1 with what people drew, at each threshold.

    A predicted pixel is there where its strength reaches the threshold.
    """
    if not np.isfinite(strength).all():
        raise ValueError("the strength of a boundary must be finite numbers, this holds others")
    rows, columns = np.nonzero(strength >= thresholds.min())
    order = np.argsort(-strength[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    predicted = np.searchsorted(-strength[rows, columns], -thresholds, side="right")

    radius = max_distance * float(np.hypot(*strength.shape))
    found = np.zeros(len(thresholds), np.int64)
    is_right = np.zeros(len(rows), bool)
    for drawing in drawings:
        is_paired = pair_in_order(near_pixels(rows, columns, drawing, radius=radius))
        found += _prefix_counts(is_paired, predicted)
        is_right |= is_paired
    drawn = sum(int(drawing.sum()) for drawing in drawings)
    return BoundaryCounts(found, drawn, _prefix_counts(is_right, predicted), predicted)


def near_pixels(
    rows: Int[np.ndarray, " P"],
    columns: Int[np.ndarray, " P"],
    drawing: Bool[np.ndarray, "H W"],
    *,
    radius: float,
) -> list[list[int]]:
    """For each pixel the drawn pixels (numbered row by row) within `radius`, nearest first."""
    reach = int(radius)
    side = np.arange(-reach, reach + 1)
    dy, dx = (axis.ravel() for axis in np.meshgrid(side, side, indexing="ij"))
    squared = dy**2 + dx**2
    nearest = np.argsort(squared, kind="stable")
    nearest = nearest[squared[nearest] <= radius**2]

    number = np.full(np.add(drawing.shape, 2 * reach), -1)
    inner = number[reach : reach + drawing.shape[0], reach : reach + drawing.shape[1]]
    inner[drawing] = np.arange(drawing.sum())
    near = number[
        rows[:, None] + reach + dy[nearest], columns[:, None] + reach + dx[nearest]
    ]  # (P, offsets)
    is_drawn = near >= 0
    ends = is_drawn.sum(1).cumsum().tolist()
    drawn = near[is_drawn].tolist()
    return [drawn[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def pair_in_order(partners: Sequence[Sequence[int]]) -> Bool[np.ndarray, " P"]:
    """Which of the pixels are paired when as many as possible of each start of the list are.

    `partners` are those that each may have. Kuhn's augmenting paths; what a search without
    success has met leads nowhere in any later search, and is not searched again.
    """
    owner: dict[int, int] = {}
    dead: set[int] = set()
    is_paired = np.zeros(len(partners), bool)
    for pixel, near in enumerate(partners):
        if near:
            is_paired[pixel] = _augment(pixel, partners, owner, dead)
    return is_paired


def _augment(
    pixel: int, partners: Sequence[Sequence[int]], owner: dict[int, int], dead: set[int]
) -> bool:
    """Finds a partner for the pixel, moving others to other partners where that helps."""
    came_from: dict[int, int] = {}  # partner -> the pixel that would take it
    taken_by: dict[int, int] = {}  # pixel -> the partner that it would give up
    queue = [pixel]
    for asking in queue:
        for partner in partners[asking]:
            if partner in dead or partner in came_from:
                continue
            came_from[partner] = asking
            if partner not in owner:
                while True:
                    taker = came_from[partner]
                    owner[partner] = taker
                    if taker == pixel:
                        return True
                    partner = taken_by[taker]
            taken_by[owner[partner]] = partner
            queue.append(owner[partner])
    dead.update(came_from)
    return False


def _prefix_counts(
    flags: Bool[np.ndarray, " P"], lengths: Int[np.ndarray, " T"]
) -> Int[np.ndarray, " T"]:
    return np.concatenate([[0], flags.cumsum()])[lengths]
