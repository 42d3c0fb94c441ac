"""What a dataset and its versions hold, as text."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sam_train.data.store.manifest import Dataset, Manifest
from sam_train.data.store.tags import tags
from tools.dataset_versions.diff import KINDS, Changes


def version_table(dataset: Dataset) -> str:
    """A line for each version, oldest first."""
    dataset.read()  # raises where there is no version
    names = tags(dataset.root)
    rows = [["version", "parent", "created", "phase", "shards", "images", "masks", "GB", "tags"]]
    for number in dataset.versions():
        manifest = dataset.read(number)
        tagged = " ".join(name for name, version in names.items() if version == number)
        rows.append([*_totals(manifest), tagged])
    return _table(rows)


def summary(dataset: Dataset, manifest: Manifest) -> str:
    """One sentence about a version, and about samples that could not be used."""
    number, _, _, _, shards, images, masks, gigabytes = _totals(manifest)
    text = (
        f"{dataset.root}@{number}: {shards} shards, {images} images, {masks} masks, {gigabytes} GB"
    )
    bad = Path(dataset.root) / "bad_samples.jsonl"
    if bad.exists():
        text += f"; samples that cannot be used are listed in {bad}"
    return text


def change_table(changes: Mapping[str, Changes]) -> str:
    """Masks added, replaced and removed: of every phase, then of every shard that changed."""
    total: Changes = sum(changes.values(), Changes())
    phases = sorted({phase for phase, _ in total})
    rows = [["", *KINDS]]
    rows += [[phase, *(str(total[phase, kind]) for kind in KINDS)] for phase in phases]
    for shard, count in changes.items():
        of_kind = (sum(count[phase, kind] for phase in phases) for kind in KINDS)
        rows.append([shard, *map(str, of_kind)])
    return _table(rows) if changes else "no mask differs"


def _totals(manifest: Manifest) -> list[str]:
    shards = manifest.shards
    return [
        str(manifest.version),
        str(manifest.parent or "-"),
        manifest.created,
        manifest.phase,
        str(len(shards)),
        str(sum(entry.image_count for entry in shards)),
        str(sum(entry.mask_count for entry in shards)),
        f"{sum(entry.bytes for entry in shards) / 1e9:.3f}",
    ]


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(lines)
