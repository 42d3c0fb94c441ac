"""The table that is made from one row per mask: means over masks, then over sets."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Row = dict[str, Any]
Summary = dict[str, Any]

# COCO's area classes, in pixels of the original image.
SMALL_AREA, LARGE_AREA = 32**2, 96**2
SIZES = ("small", "medium", "large")


def size_class(area: float | int) -> str:
    """COCO's name for the size of a mask: small, medium or large."""
    if area < SMALL_AREA:
        return "small"
    return "medium" if area < LARGE_AREA else "large"


def summarise(rows: Iterable[Row], summarise_set: Callable[[list[Row]], dict[str, Any]]) -> Summary:
    """Summarises the rows of each set, then averages the sets with equal weight (SAM, App. D.1).

    `{"sets": {name: {"images", "masks", METRIC...}}, "mean": {"sets", "images", "masks",
    METRIC...}}`; a metric that some set lacks has no mean. The order of the rows does not matter.
    """
    by_set: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_set[str(row["set"])].append(row)
    sets = {name: summarise_set(in_order(by_set[name])) for name in sorted(by_set)}
    return {"sets": sets, "mean": mean_of_sets(sets)}


def mean_of_sets(sets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of each number that all sets have, and how much it is a mean of."""
    counts = {name: sum(s[name] for s in sets.values()) for name in ("images", "masks")}
    shared = [
        name
        for name in next(iter(sets.values()), {})
        if name not in counts and all(isinstance(s.get(name), int | float) for s in sets.values())
    ]
    means = {name: mean([s[name] for s in sets.values()]) for name in shared}
    return means | {"sets": len(sets)} | counts


def in_order(rows: Iterable[Row]) -> list[Row]:
    """The rows by image and mask, however they were found."""
    return sorted(rows, key=lambda row: (str(row["set"]), str(row["key"]), row["mask_id"]))


def summarise_masks(rows: Sequence[Row], columns: Sequence[str]) -> dict[str, Any]:
    """Means of columns over all masks of a set, and by their size."""
    by_size: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_size[size_class(row["area"])].append(row)
    return {
        **counts_of(rows),
        **means(rows, columns),
        "by_size": {
            size: {"masks": len(by_size[size]), **means(by_size[size], columns)}
            for size in SIZES
            if size in by_size
        },
    }


def counts_of(rows: Sequence[Row]) -> dict[str, int]:
    return {"images": len({row["key"] for row in rows}), "masks": len(rows)}


def means(rows: Sequence[Row], columns: Sequence[str]) -> dict[str, float]:
    """The mean of each column that the rows have; rows where it is None do not count."""
    found = {}
    for name in columns:
        values = [row[name] for row in rows if row.get(name) is not None]
        if values:
            found[name] = mean(values)
    return found


def mean(values: Sequence[float | int]) -> float:
    """The exact sum, so that the order of the values does not matter, over their number."""
    return math.fsum(values) / len(values)
