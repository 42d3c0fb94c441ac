"""How sure a mean is: bootstrap over images.

The masks of an image are not independent, so images are drawn, not masks (a cluster bootstrap;
Field and Welsh 2007). The draws are seeded: the same rows give the same interval.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from sam_train.evaluation.measures.summary import Row, in_order, summarise

DRAWS, LEVEL = 1000, 0.95
SUMMARY_DRAWS = 200  # where every draw is a whole summary


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of what the draws gave."""

    low: float
    high: float


def mean_interval(rows: Sequence[Row], column: str) -> Interval:
    """The interval of a column's mean per set, then over sets with equal weight."""
    return interval(set_means(rows, column).mean(0))


def summary_intervals(
    rows: Sequence[Row],
    summarise_set: Callable[[list[Row]], dict[str, Any]],
    names: Sequence[str],
) -> dict[str, Interval]:
    """The intervals of numbers that are no means of rows, such as AP; those of every draw."""
    draws = summary_draws(rows, summarise_set) if names else []
    known = [name for name in names if all(name in draw for draw in draws)]
    return {name: interval(np.array([draw[name] for draw in draws])) for name in known}


def summary_draws(
    rows: Sequence[Row], summarise_set: Callable[[list[Row]], dict[str, Any]]
) -> list[dict[str, Any]]:
    """The mean of the sets in every draw of their images; rows of the same images, same draws."""
    by_image: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in in_order(rows):
        by_image[row["set"]][row["key"]].append(row)
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(SUMMARY_DRAWS):
        drawn: list[Row] = []
        for images in by_image.values():
            parts = list(images.values())
            drawn += [row for n in rng.integers(0, len(parts), len(parts)) for row in parts[n]]
        draws.append(summarise(drawn, summarise_set)["mean"])
    return draws


def set_means(rows: Sequence[Row], column: str) -> Float[np.ndarray, "S draws"]:
    """The mean of each set in every draw of its images, sets in the order of their names."""
    by_set: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in in_order(rows):
        if row.get(column) is not None:
            by_set[row["set"]][row["key"]].append(row[column])
    if not by_set:
        raise ValueError(f"no row holds a number {column}; choose one of the table's columns")
    return np.stack([_draw_means(by_set[name]) for name in sorted(by_set)])


def interval(draws: Float[np.ndarray, " draws"]) -> Interval:
    """The percentiles that hold the middle of the draws."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def _draw_means(values_of: Mapping[str, Sequence[float | int]]) -> Float[np.ndarray, " draws"]:
    """The mean over masks in every draw of as many images as there are, with replacement."""
    sums = np.array([sum(values) for values in values_of.values()], np.float64)
    counts = np.array([len(values) for values in values_of.values()], np.float64)
    rng = np.random.default_rng(0)
    times = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=DRAWS)
    return (times @ sums) / (times @ counts)
