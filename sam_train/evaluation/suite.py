"""The evaluation of one model on all tasks of a suite, up to its report."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from sam_train.data.sets.labeled_image import ImageSet
from sam_train.evaluation.measures.intervals import mean_interval, summary_intervals
from sam_train.evaluation.measures.summary import Row, summarise
from sam_train.evaluation.models.sam import SamSegmenter
from sam_train.evaluation.models.segmenter import Segmenter
from sam_train.evaluation.protocols.clicks import ClickProtocol
from sam_train.evaluation.protocols.protocol import EvaluationProtocol, definition
from sam_train.evaluation.report import left_out, write_report
from sam_train.evaluation.rows import write_rows
from sam_train.evaluation.run import Task, bad_log, merge, plan, run_units
from sam_train.evaluation.sets.registry import other_counts
from sam_train.evaluation.sets.sampling import Sampling
from sam_train.inference.predictor import SamPredictor
from sam_train.modeling.sam import Sam


def evaluate_suite(
    sam: Sam,
    image_sets: Mapping[str, ImageSet],
    *,
    protocol: Mapping[str, Any],
    output_dir: Path,
    examples: int,
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    """Plays clicks on all sets with a model that is at hand, writes the report, returns its json.

    `protocol` are arguments of `ClickProtocol` and of `Sampling`. The summary of the clicks
    (`sets`, `mean`) stands at the top of the json.
    """
    sampling = {f.name: protocol[f.name] for f in fields(Sampling) if f.name in protocol}
    clicks = ClickProtocol(**{k: v for k, v in protocol.items() if k not in sampling})
    tasks = [Task(clicks, image_set, Sampling(**sampling)) for image_set in image_sets.values()]
    report = evaluate_tasks(
        lambda: SamSegmenter(SamPredictor(sam)),
        tasks,
        output_dir=output_dir,
        examples=examples,
        origin={**origin, "protocol": dict(protocol)},
    )
    summary = report["protocols"][clicks.name]
    return report | {"sets": summary["sets"], "mean": summary["mean"]}


def evaluate_tasks(
    build_segmenter: Callable[[], Segmenter],
    tasks: Sequence[Task],
    *,
    output_dir: Path,
    examples: int,
    origin: Mapping[str, Any],
    workers: int = 1,
    against: Path | None = None,
) -> dict[str, Any]:
    """Evaluates what is not yet evaluated, writes rows and report, and returns its json.

    `origin` says which model and which command, and is passed on; its `checkpoint_sha256` and
    `segmenter` tell one model's rows from another's. Images and masks that cannot be used are
    listed in bad_samples.jsonl.
    """
    start = time.monotonic()
    image_sets = sets_by_name(tasks)
    model = {name: origin.get(name) for name in ("checkpoint_sha256", "segmenter")}
    units = plan(tasks, output_dir, model=model)
    done_before = sum(unit.path.exists() for unit in units)
    run_units(build_segmenter, tasks, units, output_dir, workers=workers)
    seconds = time.monotonic() - start
    rows = merge(tasks, units)
    require_masks(rows, output_dir)

    protocols = {task.protocol.name: task.protocol for task in tasks}
    for name, found in rows.items():
        write_rows(output_dir / f"{name}.parquet", found)
    tables = {name: table(protocols[name], found) for name, found in rows.items() if found}
    masks = sum(found["mean"]["masks"] for found in tables.values())
    report = {
        **origin,
        "protocols": tables,
        "seconds": seconds,
        # Unknown where some of the time was spent before.
        "masks_per_second": None if done_before else masks / seconds,
        "left_out": bad_log(output_dir).counts(),
        "other_counts": [
            f"{name}/{sentence}"
            for name, found in tables.items()
            for sentence in other_counts(list(image_sets.values()), found["sets"])
        ],
    }
    return write_report(
        output_dir, report, rows, image_sets, protocols, examples=examples, against=against
    )


def sets_by_name(tasks: Sequence[Task]) -> dict[str, ImageSet]:
    """The image sets of the tasks; ValueError where two have one name."""
    image_sets = {task.image_set.name: task.image_set for task in tasks}
    if any(image_sets[task.image_set.name] is not task.image_set for task in tasks):
        raise ValueError("two sets of the suite have the same name; give each its own `name`")
    return image_sets


def require_masks(rows: Mapping[str, Sequence[Row]], output_dir: Path) -> None:
    """Raises ValueError where nothing could be evaluated."""
    if not any(rows.values()):
        said = left_out(bad_log(output_dir).counts()) or "nothing"
        raise ValueError(
            f"no set of the suite holds a mask (left out: {said}); choose sets with known masks"
        )


def table(protocol: EvaluationProtocol, rows: Sequence[Row]) -> dict[str, Any]:
    """The numbers of one protocol on all its sets, with what they mean and how sure they are."""
    found = summarise(rows, protocol.summarise)
    names = [name for name in protocol.columns if name in found["mean"]]
    columns = [name for name in names if any(name in row for row in rows)]
    others = [name for name in names if name not in columns]
    intervals = {name: mean_interval(rows, name) for name in columns}
    intervals |= summary_intervals(rows, protocol.summarise, others)
    return {
        **found,
        "intervals": {name: asdict(interval) for name, interval in intervals.items()},
        "settings": asdict(protocol),  # type: ignore[call-overload]
        "definition": definition(protocol),
    }
