"""Writes the mask index of a dataset version: Parquet files with one row per mask.

python -m tools.mask_index DATASET --out masks

Then, in Python: duckdb.sql("SELECT phase, count(*) FROM 'masks/**/*.parquet' GROUP BY phase")
"""

import argparse
from pathlib import Path

from sam_train.command_line import one_sentence_errors
from sam_train.data.store.locations import Location, location
from tools.workers import WORKERS


def main() -> None:
    parser = version_parser(
        "mask_index",
        description="Writes one Parquet row per mask of a dataset version, a file per shard. "
        "Files that are there already, of the same shard, are kept.",
        out="folder of the Parquet files",
    )
    with one_sentence_errors("mask_index"):
        options = vars(parser.parse_args())
        print(index_version(options.pop("dataset"), **options))


def version_parser(name: str, *, description: str, out: str) -> argparse.ArgumentParser:
    """The command line of what is made of the masks of one version; `out` says where to."""
    parser = argparse.ArgumentParser(prog=f"python -m tools.{name}", description=description)
    parser.add_argument("dataset", type=location, help="folder or URL with manifests/")
    parser.add_argument("--version", default="latest", help="number or tag (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, help=out)
    parser.add_argument("--workers", **WORKERS)
    return parser


def index_version(root: Location, *, version: str = "latest", out: Path, workers: int = 1) -> str:
    """Brings the index in `out` to the version and returns what it holds, in one sentence."""
    import pyarrow.parquet as pq

    from sam_train.data.store.bad_samples import BadSampleLog
    from sam_train.data.store.manifest import Dataset
    from tools.analytics.mask_index import write_mask_index

    dataset = Dataset(root)
    manifest = dataset.read(version)
    bad = BadSampleLog(out / "bad_samples.jsonl")
    files = write_mask_index(dataset, manifest, out, workers=workers, on_bad=bad)
    masks = sum(pq.read_metadata(file).num_rows for file in files)
    listed = sum(bad.counts().values())
    return f"version {manifest.version}: {masks:,} masks of {len(files):,} shards in {out}" + (
        f"; {listed:,} samples left out, listed in {bad.path}" if listed else ""
    )


if __name__ == "__main__":
    main()
