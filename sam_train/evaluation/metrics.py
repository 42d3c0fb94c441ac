"""The table that is made from one row per mask: means over masks, then over sets."""

from collections import defaultdict
from collections.abc import Iterable

Row = dict[str, str | int | float]

# COCO's area classes, in pixels of the original image.
SMALL_AREA, LARGE_AREA = 32**2, 96**2
# What a row says about its mask instead of about a prediction.
DESCRIPTION = {"set", "key", "mask_id", "area", "image_area"}


def size_class(area: int) -> str:
    """COCO's name for the size of a mask: small, medium or large."""
    if area < SMALL_AREA:
        return "small"
    return "medium" if area < LARGE_AREA else "large"


def summarise(rows: Iterable[Row]) -> dict[str, dict]:
    """Averages rows per set over masks, then over sets with equal weight (SAM, App. D.1).

    `{"sets": {name: {"images", "masks", METRIC..., "by_size": {size: {"masks", METRIC...}}}},
    "mean": {"sets", "images", "masks", METRIC...}}`.
    """
    by_set: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_set[str(row["set"])].append(row)

    sets = {name: _summarise_set(by_set[name]) for name in sorted(by_set)}
    counts = {name: sum(s[name] for s in sets.values()) for name in ("images", "masks")}
    metrics = _mean_of_columns(
        [{k: s[k] for k in s if k not in DESCRIPTION | {"by_size"}} for s in sets.values()]
    )
    return {"sets": sets, "mean": metrics | {"sets": len(sets)} | counts}


def _summarise_set(rows: list[Row]) -> dict:
    by_size: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_size[size_class(int(row["area"]))].append(row)
    return {
        "images": len({row["key"] for row in rows}),
        "masks": len(rows),
        **_mean_of_columns(rows),
        "by_size": {
            size: {"masks": len(by_size[size]), **_mean_of_columns(by_size[size])}
            for size in ("small", "medium", "large")
            if size in by_size
        },
    }


def _mean_of_columns(rows: list[dict]) -> dict[str, float]:
    if not rows:
        return {}
    columns = [name for name in rows[0] if name not in DESCRIPTION]
    return {name: sum(float(row[name]) for row in rows) / len(rows) for name in columns}
