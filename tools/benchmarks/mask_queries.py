"""Times the datasheet's queries on a made-up mask index, beside SQLite on the same rows.

python -m tools.benchmarks.mask_queries --rows 10000000
"""

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tools.analytics.mask_rows import SCHEMA
from tools.analytics.queries import DRAWN_IMAGES, QUERIES

MASKS_PER_IMAGE = 100
ROWS_PER_SHARD = 1_000_000
REPEATS = 3
PEER_COLUMNS = (
    "source, place, masks_in_image, predicted_iou, stability_score, relative_area, concavity, "
    "centre_x, centre_y, phase, round, annotator, seconds, clicks"
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.benchmarks.mask_queries")
    parser.add_argument("--rows", type=int, default=1_000_000, help="masks, default 1,000,000")
    parser.add_argument("--peer-rows", type=int, default=1_000_000, help="of them, for SQLite")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), rows=options.rows, peer_rows=min(options.rows, options.peer_rows))


def run(folder: Path, *, rows: int, peer_rows: int) -> None:
    """Writes the index, checks that both engines answer alike, and prints their times."""
    written = timed(lambda: write_made_up_index(folder, rows))
    size = sum(file.stat().st_size for file in folder.glob("*.parquet"))
    print(f"{rows:,} rows written in {written.wall:.1f} s, {size / rows:.0f} bytes a row")

    masks = duckdb.connect()
    masks.read_parquet(f"{folder}/*.parquet").create_view("masks")
    few = duckdb.connect()
    few.sql(f"CREATE TABLE masks AS FROM '{folder}/*.parquet' LIMIT {peer_rows}")
    peer = sqlite_copy(few, folder / "masks.sqlite")

    print(f"{'query':16} DuckDB: wall s    CPU s    SQLite on {peer_rows:,} rows: wall s    CPU s")
    for name, sql in QUERIES.items():
        require_equal(name, few.execute(sql).fetchall(), peer.execute(sqlite_sql(sql)).fetchall())
        ours, theirs = best(masks.execute, sql), best(peer.execute, sqlite_sql(sql), repeats=1)
        print(f"{name:16} {ours} {theirs!s:>45}")
    shards = masks.execute("SELECT DISTINCT shard FROM masks").fetchall()
    drawn = {"shards": [name for (name,) in shards], "count": 12}
    print(f"{'drawn images':16} {best(masks.execute, DRAWN_IMAGES, drawn)}")


def write_made_up_index(folder: Path, rows: int) -> None:
    """One Parquet file per million rows, with the columns of a mask index."""
    for shard, first in enumerate(range(0, rows, ROWS_PER_SHARD)):
        count = min(ROWS_PER_SHARD, rows - first)
        columns = made_up_columns(np.random.default_rng(shard), count, shard=shard)
        arrays = [pa.array(columns[field.name], field.type) for field in SCHEMA]
        table = pa.Table.from_arrays(arrays, schema=SCHEMA)
        file = folder / f"{shard:06d}.parquet"
        pq.write_table(table, file, compression="zstd", row_group_size=100_000)


def made_up_columns(rng: np.random.Generator, count: int, *, shard: int) -> dict[str, Any]:
    """Values of a mask index; the columns that no query reads are empty."""
    image = np.arange(count) // MASKS_PER_IMAGE
    phase = np.array(["assisted_manual", "semi_automatic", "fully_automatic"])
    columns: dict[str, Any] = {field.name: pa.nulls(count, field.type) for field in SCHEMA}
    return columns | {
        "shard": np.full(count, f"images/sa_{shard:06d}.tar"),
        "source": np.full(count, f"source-{shard % 3}"),
        "key": np.char.add(f"sa_{shard}-", image.astype(str)),
        "image_id": image,
        "masks_in_image": np.full(count, MASKS_PER_IMAGE),
        "place": np.arange(count) % MASKS_PER_IMAGE,
        "id": np.arange(count),
        "area": rng.integers(1, 1_000_000, count),
        "predicted_iou": rng.uniform(0.8, 1, count),
        "stability_score": rng.uniform(0.9, 1, count),
        "phase": phase[image % 3],
        "round": (image % 4).astype(np.int32),
        "annotator": np.array(["ada", "ben"])[image % 2],
        "seconds": rng.gamma(2, 7, count),
        "relative_area": 10 ** rng.uniform(-5, 0, count),
        "centre_x": rng.random(count),
        "centre_y": rng.random(count),
        "concavity": rng.random(count),
        "runs": rng.integers(3, 500, count),
        "rle_bytes": rng.integers(10, 2000, count),
        "clicks": rng.integers(0, 9, count),
    }


def sqlite_copy(masks: duckdb.DuckDBPyConnection, file: Path) -> sqlite3.Connection:
    """The columns that the queries read, in a table without indexes."""
    peer = sqlite3.connect(file)
    peer.execute(f"CREATE TABLE masks ({PEER_COLUMNS})")
    rows = masks.execute(f"SELECT {PEER_COLUMNS} FROM masks").fetchall()
    places = ", ".join("?" * len(PEER_COLUMNS.split(",")))
    peer.executemany(f"INSERT INTO masks VALUES ({places})", rows)
    peer.commit()
    return peer


def sqlite_sql(sql: str) -> str:
    """The query with SQLite's names of the same functions."""
    return sql.replace("least(", "min(").replace("greatest(", "max(")


def require_equal(name: str, ours: list[tuple], theirs: list[tuple]) -> None:
    """Raises unless two answers have the same rows; averages may differ in the last digits."""
    pairs = list(zip(sorted(map(str_first, ours)), sorted(map(str_first, theirs)), strict=True))
    for one, other in pairs:
        for a, b in zip(one, other, strict=True):
            if a != b and not np.isclose(float(a), float(b), rtol=1e-9):
                raise AssertionError(f"{name}: {one} is not {other}")


def str_first(row: tuple) -> tuple:
    """Sorts by the words of a row, then by its numbers."""
    return tuple(sorted(row, key=lambda value: not isinstance(value, str)))


class Times(NamedTuple):
    """Seconds on the clock, and of all cores together, which other programs hardly change."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:14.3f} {self.cpu:8.3f}"


def best(execute: Callable[..., Any], *query: Any, repeats: int = REPEATS) -> Times:
    """The quickest of a few runs of a query, its rows fetched."""
    return min(timed(lambda: execute(*query).fetchall()) for _ in range(repeats))


def timed(work: Callable[[], object]) -> Times:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Times(time.perf_counter() - wall, time.process_time() - cpu)


if __name__ == "__main__":
    main()
