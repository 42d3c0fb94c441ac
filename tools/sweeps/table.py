"""The rows of a sweep as Markdown, CSV and one HTML page that stands alone."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.sweeps.groups import Group, half_width
from tools.sweeps.runs import MEASURES, Run


def measures_of(groups: Sequence[Group], measure: str) -> list[str]:
    """The measures that some run logged; the one that is compared by is the first."""
    names = dict.fromkeys((measure, *MEASURES))
    return [name for name in names if any(group.mean(name) is not None for group in groups)]


def rows(groups: Sequence[Group], measures: Sequence[str]) -> list[dict[str, Any]]:
    """Label, seeds, values, images a second, and a (mean, half width) pair for each measure."""
    widths = {name: half_width(groups, name) for name in measures}
    return [
        {
            "label": group.label,
            "values": group.values,
            "seeds": [run.seed for run in group.runs],
            "folders": [run.folder.name for run in group.runs],
            "speed": group.speed(),
            "cells": [(group.mean(name), widths[name].get(group.label, None)) for name in measures],
        }
        for group in groups
    ]


def markdown(groups: Sequence[Group], measures: Sequence[str], others: Sequence[Run]) -> str:
    """The means of the last values with their 95 % intervals, then what is not finished."""
    names = [name.removeprefix("val/") for name in measures]
    lines = [
        f"| run | seeds | {' | '.join(names)} | images/s |",
        "|---|---|" + "---|" * (len(names) + 1),
    ]
    for row in rows(groups, measures):
        cells = " | ".join(cell(*each) for each in row["cells"])
        speed = "" if row["speed"] is None else f"{row['speed']:.2g}"
        lines.append(f"| {row['label']} | {len(row['seeds'])} | {cells} | {speed} |")
    if others:
        lines += ["", "Not in the table:", ""]
        lines += [f"- {run.folder.name}: {run.state}, {run.reason}" for run in others]
    return "\n".join([*lines, ""])


def cell(value: float | None, width: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if width is None else f"{value:.3f} ± {width:.3f}"


def as_csv(groups: Sequence[Group], measures: Sequence[str], others: Sequence[Run]) -> str:
    """A line for each row, then for each run that is not in one, with its state and reason."""
    keys = list(groups[0].values) if groups else []
    columns = [column for name in measures for column in (name, f"{name} ±95%")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["run", "state", "seeds", *keys, *columns, "images/s", "folders", "reason"])
    for row in rows(groups, measures):
        writer.writerow(
            [
                *(row["label"], "finished", " ".join(map(str, row["seeds"]))),
                *row["values"].values(),
                *(number for pair in row["cells"] for number in pair),
                *(row["speed"], " ".join(row["folders"]), ""),
            ]
        )
    for run in others:
        values = [run.overrides.get(key, "") for key in keys]
        blank = [""] * (len(columns) + 1)
        line = [run.folder.name, run.state, run.seed, *values, *blank, run.folder.name, run.reason]
        writer.writerow(line)
    return out.getvalue()


def page(
    groups: Sequence[Group],
    measures: Sequence[str],
    others: Sequence[Run],
    *,
    best: Group,
    **content: Any,
) -> str:
    """The HTML page; `content` are title, pictures and the experiment file of the best row."""
    from sam_train.evaluation.page import render_page

    return render_page(
        "sweep.html.j2",
        folder=Path(__file__).parent,
        measures=[name.removeprefix("val/") for name in measures],
        rows=rows(groups, measures),
        cell=cell,
        others=others,
        best=best,
        **content,
    )
