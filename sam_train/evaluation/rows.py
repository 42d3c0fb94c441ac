"""Rows of an evaluation in Parquet files: written whole, merged in any order."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sam_train.data.store.durable import durable_file
from sam_train.evaluation.measures.summary import Row, in_order


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Writes rows, which may have different columns; the file is whole or not there."""
    names = dict.fromkeys(name for row in rows for name in row)
    table = pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])
    with durable_file(path) as file:
        pq.write_table(table, file, compression="zstd")


def read_rows(paths: Iterable[Path]) -> list[Row]:
    """The rows of several files by set, image and mask. A mask that comes twice is refused."""
    rows: list[Row] = []
    for path in paths:
        try:
            rows += pq.read_table(path).to_pylist()
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(f"{path} is no file of rows: {error}; delete it and go on") from error
    rows = in_order(rows)
    for before, row in zip(rows, rows[1:], strict=False):
        if all(before[name] == row[name] for name in ("set", "key", "mask_id")):
            raise ValueError(
                f"mask {row['mask_id']} of {row['key']} in {row['set']} was evaluated twice; "
                "delete the rows of this run and evaluate again"
            )
    return rows
