"""Two models on the same masks: the difference of every number, how sure it is, and who wins.

The bootstrap is that of `intervals`, with the same draws of images for both models: what makes an
image hard is hard for both, and does not blur the difference.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sam_train.evaluation.measures.intervals import interval, mean_interval, summary_draws
from sam_train.evaluation.measures.summary import Row, in_order, mean, summarise

# Columns that no model has a say in, or that are good for nothing by themselves.
NO_RESULTS = {"disc", "box", "ellipse", "empty_at_1", "prompts"}


@dataclass(frozen=True)
class Paired:
    """Two models on the same masks; a difference above 0 speaks for the second, of NoC below.

    A number that is no mean over masks, such as AP, has no wins and no losses.
    """

    column: str
    masks: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    wins: float | None = None  # shares of all masks
    losses: float | None = None


def compare_all(
    first: Sequence[Row],
    second: Sequence[Row],
    columns: Sequence[str],
    summarise_set: Callable[[list[Row]], dict[str, Any]],
) -> list[Paired]:
    """Every column that both evaluations have: of the rows, or else of their summary."""
    wanted = [column for column in columns if column not in NO_RESULTS]
    in_rows = [c for c in wanted if all(has_number(rows, c) for rows in (first, second))]
    others = [column for column in wanted if column not in in_rows]
    return [
        *(compare(first, second, column) for column in in_rows),
        *compare_summaries(first, second, others, summarise_set),
    ]


def has_number(rows: Sequence[Row], column: str) -> bool:
    return any(row.get(column) is not None for row in rows)


def compare(first: Sequence[Row], second: Sequence[Row], column: str) -> Paired:
    """The paired difference of a column: mean per set, over sets, bootstrapped over images.

    Both must hold the same masks: a difference of means over different masks says nothing.
    """
    pairs = [
        (a, b)
        for a, b in paired_rows(first, second)
        if a.get(column) is not None and b.get(column) is not None
    ]
    if not pairs:
        raise ValueError(f"no mask has a {column} in both; use the same protocol for both")
    rows = [{**b, "difference": b[column] - a[column]} for a, b in pairs]
    found = mean_interval(rows, "difference")
    sign = -1 if column.startswith("noc_") else 1
    return Paired(
        column=column,
        masks=len(pairs),
        first=_mean_over_sets([a for a, _ in pairs], column),
        second=_mean_over_sets([b for _, b in pairs], column),
        difference=_mean_over_sets(rows, "difference"),
        low=found.low,
        high=found.high,
        wins=mean([float(sign * row["difference"] > 0) for row in rows]),
        losses=mean([float(sign * row["difference"] < 0) for row in rows]),
    )


def compare_summaries(
    first: Sequence[Row],
    second: Sequence[Row],
    names: Sequence[str],
    summarise_set: Callable[[list[Row]], dict[str, Any]],
) -> list[Paired]:
    """The paired difference of numbers that only a summary has, in the draws that have them."""
    means = [summarise(rows, summarise_set)["mean"] for rows in (first, second)]
    names = [name for name in names if all(name in found for found in means)]
    if not names:
        return []
    masks = len(paired_rows(first, second))
    draws = [summary_draws(rows, summarise_set) for rows in (first, second)]
    compared = []
    for name in names:
        drawn = [b[name] - a[name] for a, b in zip(*draws, strict=True) if name in a and name in b]
        found = interval(np.array(drawn))
        a, b = (values[name] for values in means)
        compared.append(Paired(name, masks, a, b, b - a, found.low, found.high))
    return compared


def paired_rows(first: Sequence[Row], second: Sequence[Row]) -> list[tuple[Row, Row]]:
    """The two rows of every mask, in the order of the masks."""
    a, b = ({_mask(row): row for row in in_order(rows)} for rows in (first, second))
    if different := sorted(a.keys() ^ b.keys()):
        name, key, mask_id = different[0]
        raise ValueError(
            f"{len(different)} masks are in one evaluation only, the first is mask {mask_id} of "
            f"{key} in {name}; evaluate both on the same sets with the same sampling"
        )
    return [(a[mask], b[mask]) for mask in a]


def _mask(row: Row) -> tuple[str, str, int]:
    return row["set"], row["key"], row["mask_id"]


def _mean_over_sets(rows: Sequence[Row], column: str) -> float:
    by_set: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        by_set[row["set"]].append(row[column])
    return mean([mean(values) for values in by_set.values()])
