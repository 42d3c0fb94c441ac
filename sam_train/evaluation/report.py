"""What an evaluation leaves: report.json, and one HTML page that stands alone."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sam_train.data.sets.labeled_image import ImageSet
from sam_train.data.store.durable import durable_file
from sam_train.evaluation.measures.summary import Row
from sam_train.evaluation.page import machine, render_page, with_pictures
from sam_train.evaluation.pictures import RowPainter, click_examples
from sam_train.evaluation.protocols.protocol import EvaluationProtocol
from sam_train.evaluation.sections import compare_with, protocol_sections, table_columns


def write_report(
    output_dir: Path,
    report: Mapping[str, Any],
    rows: Mapping[str, Sequence[Row]],
    image_sets: Mapping[str, ImageSet],
    protocols: Mapping[str, EvaluationProtocol],
    *,
    examples: int,
    against: Path | None = None,
) -> dict[str, Any]:
    """Writes report.json and report.html from the rows of every protocol, and returns the json.

    `report` holds what `evaluate_tasks` found; pictures of examples and of the worst masks are
    drawn from the rows. The model is not needed. `against` is the folder of another evaluation,
    whose masks are compared with these one by one.
    """
    painter = RowPainter(image_sets, output_dir / "examples")
    drawn = click_examples(rows.get("clicks", ()), painter, examples)
    comparison = compare_with(against, rows, protocols, painter) if against else None
    report = {**report, "examples": drawn, "comparison": comparison}
    with durable_file(output_dir / "report.json") as file:
        file.write(json.dumps(report, indent=1).encode())
    page = render_page(
        "evaluation.html.j2",
        report=report | {"examples": with_pictures(drawn, painter.folder)},
        sections=protocol_sections(report["protocols"], rows, painter),
        facts=origin_facts(report),
    )
    with durable_file(output_dir / "report.html") as file:
        file.write(page.encode())
    return report


def origin_facts(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader needs to get the same numbers."""
    speed = report["masks_per_second"]
    return {
        "checkpoint": report["checkpoint"],
        "sha256": report["checkpoint_sha256"],
        "config sha256": report.get("config_sha256"),
        "segmenter": report.get("segmenter"),
        "dataset version": report.get("dataset_version"),
        "left out": left_out(report["left_out"]) or None,
        "sets left out": ", ".join(report.get("missing_sets", ())) or None,
        "other counts": "; ".join(report["other_counts"]) or None,
        "machine": machine(),
        "seconds": round(report["seconds"], 1),
        "masks per second": None if speed is None else round(speed, 1),
    }


def summary_lines(report: Mapping[str, Any]) -> str:
    """The tables for the terminal: for each protocol a line per set and their mean."""
    room = shutil.get_terminal_size((120, 24)).columns
    tables = [
        line
        for name, found in report["protocols"].items()
        for line in (f"[{name}]", *table_lines(found, room))
    ]
    counts = left_out(report["left_out"])
    said = [f"left out: {counts}; see bad_samples.jsonl"] if counts else []
    return "\n".join([*tables, *said, *report["other_counts"]])


def left_out(counts: Mapping[str, int]) -> str:
    """How much could not be used, by what is wrong with it."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


def table_lines(summary: Mapping[str, Any], room: int) -> list[str]:
    """One protocol's table: a line per set and their mean, columns below others beyond `room`."""
    sets = [*summary["sets"].items(), ("mean", summary["mean"])]
    labels = aligned(["set", *(name for name, _ in sets)], "<")
    columns = [
        aligned([name, *(number_text(row.get(name)) for _, row in sets)], ">")
        for name in ["masks", *table_columns(summary)]
    ]
    lines: list[str] = []
    while columns:
        block = [labels, columns.pop(0)]
        while columns and sum(len(column[0]) + 1 for column in [*block, columns[0]]) <= room:
            block.append(columns.pop(0))
        lines += [" ".join(cells) for cells in zip(*block, strict=True)]
    return lines


def aligned(texts: Sequence[str], side: str) -> list[str]:
    """The cells of a column, as wide as the longest."""
    width = max(map(len, texts))
    return [f"{text:{side}{width}}" for text in texts]


def number_text(value: float | int | None) -> str:
    """Three digits of a share or a mean, all of a count, a dash where there is none."""
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
