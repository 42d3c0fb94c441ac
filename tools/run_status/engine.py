"""What a run of the engine has to tell: its rounds, the shards of its phase, its failures."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

MOST = 20  # lines of a kind


def engine_lines(run_dir: Path) -> Iterator[str]:
    """The rounds that are finished, those that wait for people, the phase that was begun last,
    what could not be used."""
    from data_engine.people.standing import standing

    for path in sorted(run_dir.glob("rounds/*/round.json")):
        done = json.loads(path.read_text())
        yield f"finished: {path.parent.name}, version {done['dataset_version']} of the dataset"
    yield from standing(run_dir)
    yield from phase_lines(run_dir)
    yield from failed_images(run_dir / "bad_samples.jsonl")


def phase_lines(run_dir: Path) -> Iterator[str]:
    """The images, shards and workers of the phase that was begun last."""
    from data_engine.progress import SHARDS, ProgressReader

    folders = [path.parent for path in run_dir.glob(f"**/annotate/{SHARDS}")]
    if not folders:
        return
    folder = max(folders, key=lambda path: (path / SHARDS).stat().st_mtime)
    progress = ProgressReader(folder).read()
    begun = len(progress.finished) + len(progress.running) + len(progress.interrupted)
    yield f"{folder}: {progress}"
    yield (
        f"shards: {len(progress.finished)} finished, {len(progress.running)} running, "
        f"{len(progress.interrupted)} interrupted, {len(progress.images) - begun} waiting"
    )
    for shard, attempt in sorted(progress.running.items())[:MOST]:
        images = f"image {attempt.images} of {progress.images[shard]}"
        yield f"running: {shard}, {images} ({attempt.image}), on {attempt.worker}"
    for shard, attempts in sorted(progress.interrupted.items())[:MOST]:
        last = attempts[-1]
        yield (
            f"interrupted: {shard}, {len(attempts)} times, last at {last.image} on {last.worker} "
            f"({last.ended or 'killed'})"
        )


def failed_images(listed: Path) -> Iterator[str]:
    """What could not be used, by kind, and the last ones with their reasons."""
    lines = listed.read_text().splitlines() if listed.exists() else []
    entries = [json.loads(line) for line in lines]
    if entries:
        kinds = Counter(entry["kind"] for entry in entries)
        each = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        yield f"failed: {len(entries)} images ({each}), listed in {listed}"
    for entry in entries[-MOST:]:
        yield f"  {entry['key'] or entry['shard']}: {entry['error']}"
