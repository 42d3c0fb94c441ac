"""How far a run of the data engine is, from its folder alone: also while it runs, from anywhere.

python -m tools.status RUN_DIR
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sam_train.command_line import one_sentence_errors

MOST = 20  # lines of a kind


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run_dir", type=Path, help="the output_dir of data_engine.run")
    arguments = parser.parse_args()
    with one_sentence_errors("status"):
        for line in status(arguments.run_dir):
            print(line)


def status(run_dir: Path) -> Iterator[str]:
    """Lines about the phase that was begun last: its images, shards, workers and failures."""
    from data_engine.progress import SHARDS, ProgressReader

    folders = [path.parent for path in run_dir.glob(f"**/annotate/{SHARDS}")]
    if not folders:
        raise ValueError(
            f"{run_dir} holds no phase that was begun: name the output_dir of data_engine.run; "
            "one that is only reading its pool has none yet"
        )
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
    yield from failed(run_dir / "bad_samples.jsonl")


def failed(listed: Path) -> Iterator[str]:
    """What could not be used, by kind, and the last ones with their reasons."""
    lines = listed.read_text().splitlines() if listed.exists() else []
    entries = [json.loads(line) for line in lines]
    if entries:
        kinds = Counter(entry["kind"] for entry in entries)
        each = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        yield f"failed: {len(entries)} images ({each}), listed in {listed}"
    for entry in entries[-MOST:]:
        yield f"  {entry['key'] or entry['shard']}: {entry['error']}"


if __name__ == "__main__":
    main()
