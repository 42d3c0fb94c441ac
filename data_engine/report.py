"""The report of a run of the circle: report.json, and one HTML page that stands alone."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from data_engine.phase_run import entry_samples
from data_engine.rounds import RoundFolder, finished_rounds
from data_engine.run_folder import write_json
from sam_train.data.images import encode_jpeg, read_image
from sam_train.data.records import Sample, mask_phase
from sam_train.data.rle import resize_rle
from sam_train.data.store.bad_samples import BadSampleLog
from sam_train.data.store.durable import durable_file
from sam_train.data.store.manifest import Dataset, Manifest
from sam_train.evaluation.figures import bars, click_counts, iou_curves
from sam_train.evaluation.overlays import overlay_instances, thumbnail
from sam_train.evaluation.page import jpeg_uri, machine, render_page, with_pictures

ROUND_KEYS = (
    "phase", "round", "images", "masks", "masks_per_image", "seconds_per_mask", "clicks_per_mask",
    "iou_at_1", "iou_at_3", "iou_at_5",
)  # fmt: skip
COSTS = {
    "masks_per_image": "masks per image",
    "seconds_per_mask": "seconds per mask",
    "clicks_per_mask": "clicks per mask",
}
AUTOMATIC = "fully_automatic"
PICTURES, PICTURE_SIDE = 6, 352


def write_report(run_dir: Path) -> None:
    """Writes RUN/report.json and RUN/report.html from the rounds that are finished so far."""
    rounds = finished_rounds(run_dir)
    if not rounds:
        raise ValueError(f"{run_dir} holds no finished round to report; run the engine first")
    write_json(run_dir / "report.json", report_numbers(rounds))
    with durable_file(run_dir / "report.html") as file:
        file.write(report_page(run_dir, rounds).encode())


def report_numbers(rounds: Sequence[RoundFolder]) -> dict[str, Any]:
    """The content of report.json; `final` are all numbers of the last evaluation."""
    last, evaluated = rounds[-1].summary, last_evaluated(rounds)
    evaluation = evaluated.evaluation if evaluated else None
    return {
        "rounds": [{key: turn.summary.get(key) for key in ROUND_KEYS} for turn in rounds],
        "final": evaluation["mean"] | {"sets": evaluation["sets"]} if evaluation else {},
        "dataset_version": last["dataset_version"],
        "checkpoint_sha256": last["checkpoint_sha256"],
    }


def last_evaluated(rounds: Sequence[RoundFolder]) -> RoundFolder | None:
    return next((turn for turn in reversed(rounds) if turn.evaluation), None)


def report_page(run_dir: Path, rounds: Sequence[RoundFolder]) -> str:
    dataset = Dataset(run_dir / "dataset")
    manifest = dataset.read(rounds[-1].summary["dataset_version"])
    means = {turn.title: turn.evaluation["mean"] for turn in rounds if turn.evaluation}
    final = last_evaluated(rounds)
    titles = [turn.title for turn in rounds]
    return render_page(
        "report.html.j2",
        folder=Path(__file__).parent,
        name=run_dir.resolve().name,
        rounds=rounds,
        final=final.evaluation if final else None,
        examples=examples(final) if final else [],
        clicks=click_counts(final.evaluation["mean"]) if final and final.evaluation else [],
        curves=iou_curves(means),
        costs=[
            bars(title, titles, [turn.summary.get(key) or 0 for turn in rounds])
            for key, title in COSTS.items()
        ],
        automatic=list(islice(automatic_pictures(dataset, manifest), PICTURES)),
        command=(run_dir / "command.txt").read_text().strip(),
        bad=bad_samples(run_dir),
        facts=origin(run_dir, manifest, rounds),
    )


def examples(turn: RoundFolder) -> list[dict]:
    """The pictures of held-out objects, as they stand in the page."""
    found = (turn.evaluation or {}).get("examples", [])
    return with_pictures(found, turn.evaluation_dir / "examples")


def automatic_pictures(dataset: Dataset, manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Images of the version with their automatic masks in colours."""
    entries = [entry for entry in manifest.shards if entry.phase == AUTOMATIC]
    for sample in entry_samples(dataset.root, entries):
        masks = [
            annotation["segmentation"]
            for annotation in sample.record["annotations"]
            if mask_phase(annotation) == AUTOMATIC
        ]
        if masks:
            yield {"key": sample.key, "masks": len(masks), "file": automatic_picture(sample, masks)}


def automatic_picture(sample: Sample, masks: list) -> str:
    picture = thumbnail(read_image(sample.image_bytes), PICTURE_SIDE)
    height, width = picture.shape[:2]
    drawn = overlay_instances(picture, [resize_rle(rle, (height, width)) for rle in masks])
    return jpeg_uri(encode_jpeg(drawn, quality=80))


def bad_samples(run_dir: Path) -> dict[str, int]:
    """How many samples could not be used, by kind of error."""
    path = run_dir / "bad_samples.jsonl"
    return BadSampleLog(path).counts() if path.exists() else {}


def origin(
    run_dir: Path, manifest: Manifest, rounds: Sequence[RoundFolder]
) -> dict[str, str | int | None]:
    """What a reader needs to get the same numbers."""
    seconds = sum(turn.summary["wall_seconds"] for turn in rounds)
    return {
        "run folder": str(run_dir),
        "dataset version": manifest.version,
        "images, masks in it": ", ".join(
            str(sum(getattr(entry, f"{kind}_count") for entry in manifest.shards))
            for kind in ("image", "mask")
        ),
        "checkpoint sha256": rounds[-1].summary["checkpoint_sha256"],
        "config sha256": manifest.config_sha256,
        "code": manifest.code_version,
        "machine": machine(),
        "duration of the rounds": f"{seconds / 60:.1f} min",
    }
