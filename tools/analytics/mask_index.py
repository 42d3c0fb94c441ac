"""The mask index of a dataset version: a Parquet file of mask rows for each of its shards.

FOLDER/images/NAME-000000.parquet   which names the tars it was made of in its metadata
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_engine.executors.local import LocalExecutor
from sam_train.data.records import BadSample
from sam_train.data.store.bad_samples import OnBad
from sam_train.data.store.durable import durable_file
from sam_train.data.store.manifest import Dataset, Manifest, ShardEntry
from tools.analytics.mask_rows import SCHEMA, mask_rows

ROW_GROUP = 100_000  # rows; what a worker holds in memory


def write_mask_index(
    dataset: Dataset, manifest: Manifest, folder: Path, *, workers: int = 1, on_bad: OnBad
) -> list[Path]:
    """Brings the index in `folder` to a version of the dataset; returns its files.

    The file of a shard that is unchanged is kept, so an interrupted run goes on where it was
    and a later version only costs its new shards. Indexes of other shards are removed, other files
    are left alone. A sample that cannot be indexed goes to `on_bad(shard, key, error)` and has
    no rows.
    """
    files = {index_file(folder, entry): entry for entry in manifest.shards}
    stale = [entry for file, entry in files.items() if not is_current(file, entry)]
    work = partial(_write_shard_index, dataset, folder, on_bad)
    for _ in LocalExecutor(workers).run(work, stale):
        pass
    for file in set(folder.rglob("*.parquet")) - files.keys():
        if _written_origin(file):  # nobody else's Parquet
            file.unlink()
    return list(files)


def index_file(folder: Path, entry: ShardEntry) -> Path:
    """Where the rows of a shard are."""
    return folder / Path(entry.images).with_suffix(".parquet")


def is_current(file: Path, entry: ShardEntry) -> bool:
    """Whether a file is the whole index of this shard as the version has it."""
    return _written_origin(file) == _origin(entry)


def _write_shard_index(dataset: Dataset, folder: Path, on_bad: OnBad, entry: ShardEntry) -> None:
    schema = SCHEMA.with_metadata(_origin(entry))
    with (
        durable_file(index_file(folder, entry)) as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for table in _row_groups(_shard_rows(dataset, entry, on_bad)):
            writer.write_table(table)


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Joins the rows of images until a row group is full."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows >= ROW_GROUP:
            yield pa.Table.from_batches(held)
            held, rows = [], 0
    if held:
        yield pa.Table.from_batches(held)


def _shard_rows(dataset: Dataset, entry: ShardEntry, on_bad: OnBad) -> Iterator[pa.RecordBatch]:
    for sample in dataset.samples(entry, on_bad=on_bad):
        try:
            yield mask_rows(sample, entry)
        except BadSample as error:
            on_bad(str(dataset.root / entry.images), sample.key, error)


def _origin(entry: ShardEntry) -> dict[bytes, bytes]:
    """What an index is made of: the shard as the version has it, and the columns."""
    return {
        b"shard": json.dumps(asdict(entry), sort_keys=True).encode(),
        b"columns": ",".join(SCHEMA.names).encode(),
    }


def _written_origin(file: Path) -> dict[bytes, bytes]:
    """The `_origin` in a file; nothing if it is torn, missing or no mask index."""
    try:
        written = pq.read_schema(file).metadata or {}
    except (FileNotFoundError, pa.ArrowInvalid):
        return {}
    return {name: written[name] for name in (b"shard", b"columns") if name in written}
