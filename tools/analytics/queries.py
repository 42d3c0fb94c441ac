"""What the datasheet asks of a mask index, in SQL that DuckDB answers from Parquet files."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A number of every mask, and the range in which its distribution is shown."""

    title: str
    sql: str
    low: float
    high: float
    bins: int = 50
    log10: bool = False  # whether the number is the logarithm of what the axis shows


MEASURES = {
    "size": Measure(
        "Relative size of a mask, √(area / image area)",
        "log10(sqrt(nullif(relative_area, 0)))",
        low=-3.0,
        high=0.0,
        log10=True,
    ),
    "concavity": Measure("Concavity, 1 - area / convex hull area", "concavity", low=0.0, high=1.0),
    "predicted_iou": Measure("Predicted IoU", "predicted_iou", low=0.0, high=1.0),
    "stability_score": Measure("Stability score", "stability_score", low=0.0, high=1.0),
}
CENTRE_CELLS = 48  # of the centre map, on a side

AVERAGES = """count(*) AS masks, avg(predicted_iou) AS predicted_iou,
    avg(stability_score) AS stability_score, avg(sqrt(relative_area)) AS size,
    avg(concavity) AS concavity, avg(seconds) AS seconds, avg(clicks) AS clicks"""


def histogram_sql(measure: Measure) -> str:
    """Counts a measure in equal bins; the first and the last hold what lies beyond them."""
    place = (
        f"floor(({measure.sql} - {measure.low}) * {measure.bins / (measure.high - measure.low)})"
    )
    return f"""SELECT greatest(least({place}, {measure.bins - 1}), 0) AS bin, count(*) AS masks
        FROM masks WHERE {measure.sql} IS NOT NULL GROUP BY bin"""


QUERIES = {
    "overview": f"SELECT {AVERAGES} FROM masks",
    "phases": f"""SELECT phase, round, annotator, {AVERAGES} FROM masks
        GROUP BY phase, round, annotator ORDER BY round NULLS FIRST, phase, annotator""",
    "sources": "SELECT source, count(*) AS masks FROM masks GROUP BY source ORDER BY source",
    "masks_per_image": """SELECT masks_in_image AS masks, count(*) AS images
        FROM masks WHERE place = 0 GROUP BY masks_in_image""",
    "centres": f"""SELECT least(floor(centre_y * {CENTRE_CELLS}), {CENTRE_CELLS - 1}) AS y,
        least(floor(centre_x * {CENTRE_CELLS}), {CENTRE_CELLS - 1}) AS x, count(*) AS masks
        FROM masks WHERE centre_x IS NOT NULL GROUP BY y, x""",
    **{name: histogram_sql(measure) for name, measure in MEASURES.items()},
}

# Images with masks, each by its first; md5 gives the same order on every machine.
DRAWN_IMAGES = """SELECT shard, key FROM masks
    WHERE place = 0 AND shard IN (SELECT unnest($shards)) ORDER BY md5(key), shard LIMIT $count"""
