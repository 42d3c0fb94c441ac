"""The report of a phase that ran alone on a pool: one HTML page that stands alone."""

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from data_engine.phases.filter_steps import STEPS, emptied, steps_left
from data_engine.progress import Speed
from data_engine.report import PICTURES, automatic_pictures, bad_samples
from data_engine.run_folder import read_json
from sam_train.data.store.durable import durable_file
from sam_train.data.store.manifest import Dataset, Manifest
from sam_train.evaluation.page import machine, render_page

logger = logging.getLogger(__name__)

# What every phase writes about a shard; the rest of the stats are counts of the phase's own.
OF_EVERY_PHASE = ("sha256", "images", "masks", "bad", "worker", "seconds")


def write_phase_report(run_dir: Path, summary: Mapping[str, Any]) -> Path:
    """Writes RUN/report.html from the stats of all shards and the version that was committed."""
    dataset = Dataset(run_dir / "dataset")
    manifest = dataset.read("latest")
    stats = [read_json(path) for path in sorted((run_dir / "annotate").glob("*.stats.json"))]
    counts = summed_counts(stats)
    left = steps_left(counts)
    nothing = emptied(left)
    if nothing:
        logger.warning(nothing)
    page = render_page(
        "phase_report.html.j2",
        folder=Path(__file__).parent,
        name=run_dir.resolve().name,
        phase=manifest.phase,
        summary=summary,
        steps=[(name, *STEPS[name], count) for name, count in left.items()],
        nothing=nothing,
        counts={name.replace("_", " "): count for name, count in counts.items()},
        workers=worker_speeds(stats),
        pictures=list(islice(automatic_pictures(dataset, manifest), PICTURES)),
        command=(run_dir / "command.txt").read_text().strip(),
        bad=bad_samples(run_dir),
        facts=origin(run_dir, manifest),
    )
    with durable_file(run_dir / "report.html") as file:
        file.write(page.encode())
    return run_dir / "report.html"


def summed_counts(stats: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """What the phase counted in all shards together."""
    counts: Counter[str] = Counter()
    for shard in stats:
        counts.update({name: n for name, n in shard.items() if name not in OF_EVERY_PHASE})
    return dict(counts)


def worker_speeds(stats: Sequence[Mapping[str, Any]]) -> dict[str, Speed]:
    """What each worker did in the shards that it finished."""
    parts = defaultdict(list)
    for shard in stats:
        parts[shard["worker"]].append((shard["images"], shard["masks"], shard["seconds"]))
    return {name: Speed(*map(sum, zip(*parts[name], strict=True))) for name in sorted(parts)}


def origin(run_dir: Path, manifest: Manifest) -> dict[str, Any]:
    """What a reader needs to get the same masks."""
    return {
        "run folder": str(run_dir),
        "dataset version": manifest.version,
        "model sha256": manifest.model_sha256,
        "config sha256": manifest.config_sha256,
        "code": manifest.code_version,
        "machine": machine(),
    }
