"""What an evaluation leaves: report.json, masks.csv, and one HTML page that stands alone."""

import base64
import csv
import io
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sam_train.data.store.durable import durable_file
from sam_train.evaluation.figures import click_counts, iou_curves
from sam_train.evaluation.metrics import Row


def write_report(output_dir: Path, report: dict, rows: Sequence[Row]) -> None:
    """Writes the three files. The pictures of `report["examples"]` lie in `output_dir/examples`.

    `report` is a summary with `protocol, checkpoint, checkpoint_sha256, command, seconds,
    bad_images, examples`; it becomes report.json.
    """
    with durable_file(output_dir / "masks.csv") as file:
        file.write(rows_csv(rows).encode())
    with durable_file(output_dir / "report.json") as file:
        file.write(json.dumps(report, indent=1).encode())
    page = render_page(
        "evaluation.html.j2",
        report=report | {"examples": with_pictures(report["examples"], output_dir / "examples")},
        clicks=click_counts(report["mean"]),
        curves=iou_curves(report["sets"] | {"mean of the sets": report["mean"]}),
        facts={
            "checkpoint": report["checkpoint"],
            "sha256": report["checkpoint_sha256"],
            **report["protocol"],
            "images left out": report["bad_images"],
            "machine": machine(),
            "seconds": round(report["seconds"], 1),
        },
    )
    with durable_file(output_dir / "report.html") as file:
        file.write(page.encode())


def rows_csv(rows: Sequence[Row]) -> str:
    """One line per mask."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def summary_lines(summary: dict) -> str:
    """The table for the terminal: a line per set and their mean."""
    counts = click_counts(summary["mean"])
    names = [f"iou_at_{count}" for count in counts] + ["oracle_at_1", "iou_box"]
    names += ["disc", "box", "ellipse", "empty_at_1"]
    heads = [f"IoU@{count}" for count in counts] + ["best3@1", "box"]
    heads += ["[disc]", "[box]", "[ellipse]", "empty@1"]
    sets = [*summary["sets"].items(), ("mean", summary["mean"])]
    width = max(len(name) for name, _ in sets)

    lines = [f"{'set':{width}} {'masks':>6} " + " ".join(f"{head:>9}" for head in heads)]
    for name, row in sets:
        cells = " ".join(f"{row[key]:9.3f}" if key in row else f"{'-':>9}" for key in names)
        lines.append(f"{name:{width}} {row['masks']:6d} {cells}")
    return "\n".join([*lines, "[in brackets: floors that do not look at the image]"])


def render_page(template: str, *, folder: Path | None = None, **content: object) -> str:
    """Fills a template of this folder, or of `folder`, which may build on those here."""
    folders = [path for path in (folder, Path(__file__).parent) if path is not None]
    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)


def with_pictures(examples: Sequence[dict], folder: Path) -> list[dict]:
    """The examples of `click_examples` with every file name replaced by its picture."""
    return [
        example
        | {
            "truth": picture_uri(folder / example["truth"]),
            "predictions": [
                prediction | {"file": picture_uri(folder / prediction["file"])}
                for prediction in example["predictions"]
            ],
        }
        for example in examples
    ]


def picture_uri(path: Path) -> str:
    """A JPEG file as text that stands in the page itself."""
    return jpeg_uri(path.read_bytes())


def jpeg_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def machine() -> str:
    """The processor, the accelerator if there is one, and the versions that matter."""
    devices = [f"{os.cpu_count()} CPU cores ({platform.machine()})"]
    if torch.cuda.is_available():
        devices.append(torch.cuda.get_device_name())
    return f"{', '.join(devices)}; Python {platform.python_version()}, torch {torch.__version__}"
