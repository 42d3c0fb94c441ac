"""The parts of the report's page: for each protocol its table, its figures and its failures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sam_train.evaluation.figures import (
    click_counts,
    iou_curves,
    line_curves,
    recall_precision,
    reliability,
)
from sam_train.evaluation.measures.calibration import calibration_bins
from sam_train.evaluation.measures.comparison import compare_all, paired_rows
from sam_train.evaluation.measures.summary import Row
from sam_train.evaluation.page import picture_uri
from sam_train.evaluation.pictures import RowPainter, differing_masks, worst_masks
from sam_train.evaluation.protocols.protocol import EvaluationProtocol
from sam_train.evaluation.rows import read_rows

# What of a summary has a place in the table of clicks, and what in no table.
IN_CLICK_TABLE = {"oracle_at_1", "iou_box", "disc", "box", "ellipse", "empty_at_1"}
NOT_IN_TABLE = {"images", "masks", "sets", "by_size", "curve", "recall_curve", "precision_curve"}


@dataclass(frozen=True)
class Section:
    """What the page says about one protocol; `clicks` chooses the table of clicks, beside which
    `columns` are the others."""

    name: str
    summary: Mapping[str, Any]
    columns: list[str]
    clicks: list[int] | None = None
    figures: list[tuple[str, Markup]] = field(default_factory=list)
    worst: list[dict[str, Any]] = field(default_factory=list)


def protocol_sections(
    tables: Mapping[str, Mapping[str, Any]],
    rows: Mapping[str, Sequence[Row]],
    painter: RowPainter,
) -> list[Section]:
    """The sections of all protocols, in the order of the suite."""
    sections = []
    for name, summary in tables.items():
        found, columns = rows[name], table_columns(summary)
        clicks = click_counts(summary["mean"])
        if clicks:  # the table of clicks has places of its own
            shown = IN_CLICK_TABLE | {f"iou_at_{count}" for count in clicks}
            columns = [column for column in columns if column not in shown]
        sections.append(
            Section(
                name=name,
                summary=summary,
                columns=columns,
                clicks=clicks or None,
                figures=list(protocol_figures(summary, found)),
                worst=worst_pictures(name, found, painter),
            )
        )
    return sections


def table_columns(summary: Mapping[str, Any]) -> list[str]:
    """The numbers of a protocol, in the order of its first set."""
    names: dict[str, None] = {}
    for numbers in summary["sets"].values():
        names |= dict.fromkeys(k for k, v in numbers.items() if isinstance(v, int | float))
    return [name for name in names if name not in NOT_IN_TABLE]


def protocol_figures(summary: Mapping[str, Any], rows: Sequence[Row]) -> list[tuple[str, Markup]]:
    """The figures that the numbers of a protocol allow, with their titles."""
    sets, figures = summary["sets"], []
    if click_counts(summary["mean"]):
        curves = iou_curves({**sets, "mean of the sets": summary["mean"]})
        figures.append(("IoU against clicks", curves))
    if all("curve" in numbers for numbers in sets.values()):
        lines = {name: numbers["curve"] for name, numbers in sets.items()}
        figures.append(("IoU against clicks", line_curves(lines, "clicks", "mean IoU")))
    if all("recall_curve" in numbers for numbers in sets.values()):
        curves = {k: (v["recall_curve"], v["precision_curve"]) for k, v in sets.items()}
        figures.append(("Precision against recall", recall_precision(curves)))
    predicted, true = predicted_and_true(rows)
    if predicted:
        bins = calibration_bins(predicted, true)
        figures.append(("Predicted IoU against the true one", reliability(bins)))
    return figures


def predicted_and_true(rows: Sequence[Row]) -> tuple[list[float], list[float]]:
    """What the model took each mask's IoU for, and what it was; rows may hold many masks."""
    if "true" in rows[0]:
        many = ("predicted", "true")
        predicted, true = ([value for row in rows for value in row[name]] for name in many)
        return predicted, true
    one = ("predicted_iou_at_1", "iou_at_1")
    scored = [row for row in rows if all(row.get(name) is not None for name in one)]
    predicted, true = ([row[name] for row in scored] for name in one)
    return predicted, true


def worst_pictures(name: str, rows: Sequence[Row], painter: RowPainter) -> list[dict[str, Any]]:
    """The 20 masks that are worst after the last click, where the rows hold masks."""
    if last := [row for row in rows if row.get("mask_last") is not None]:
        rows, iou, mask = [{**r, "iou_last": r["ious"][-1]} for r in last], "iou_last", "mask_last"
    elif counts := [n for n in click_counts(rows[0]) if f"mask_at_{n}" in rows[0]]:
        iou, mask = f"iou_at_{counts[-1]}", f"mask_at_{counts[-1]}"
    else:
        return []
    pictures = worst_masks(rows, painter, name=name, iou=iou, mask=mask)
    return [{**p, "file": picture_uri(painter.folder / p["file"])} for p in pictures]


def compare_with(
    folder: Path,
    rows: Mapping[str, Sequence[Row]],
    protocols: Mapping[str, EvaluationProtocol],
    painter: RowPainter,
) -> dict[str, Any]:
    """Every protocol that both evaluations hold: its numbers, and what differs most."""
    shared = [name for name in rows if rows[name] and (folder / f"{name}.parquet").is_file()]
    if not shared:
        raise FileNotFoundError(f"{folder} holds no rows of these protocols; set `against` to one")
    tables: dict[str, list[dict[str, Any]]] = {}
    pictures: list[dict[str, Any]] = []
    for name in shared:
        first, protocol = read_rows([folder / f"{name}.parquet"]), protocols[name]
        compared = compare_all(first, rows[name], protocol.columns, protocol.summarise)
        tables[name] = [asdict(row) for row in compared]
        pictures += differing_pictures(name, first, rows[name], painter)
    return {"against": str(folder), "tables": tables, "pictures": pictures}


def differing_pictures(
    name: str, first: Sequence[Row], second: Sequence[Row], painter: RowPainter
) -> list[dict[str, Any]]:
    """Both masks where the second model gains and where it loses most, if the rows hold masks."""
    pairs = paired_rows(first, second)
    count = next((n for n in click_counts(second[0]) if f"mask_at_{n}" in first[0]), None)
    if count is None:
        return []
    iou, mask = f"iou_at_{count}", f"mask_at_{count}"
    pictures = differing_masks(pairs, painter, name=name, iou=iou, mask=mask)
    for picture in pictures:
        picture["files"] = [picture_uri(painter.folder / file) for file in picture["files"]]
    return pictures
