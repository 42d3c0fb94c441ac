"""Evaluates a model and the floors on one suite, and prints a row for each as a Markdown table.

SAM_DATA=FOLDER python -m tools.evaluation_table MODEL.safetensors suite=local workers=2
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sam_train.command_line import one_sentence_errors

FLOORS = "shapes,slic"
# The number of each protocol that stands for it, and its heading.
HEADLINES = {
    "clicks": {"iou_at_1": "1 click", "iou_at_3": "3", "iou_at_5": "5", "iou_box": "box"},
    "noc": {"noc_90": "NoC@90"},
    "edges": {"ods": "ODS"},
    "proposals": {"ar": "AR"},
    "boxes": {"ap": "AP"},
    "automatic": {"pq": "PQ"},
}

Report = Mapping[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        "evaluation_table",
        description="Evaluates a model and the floors on one suite, and prints them as a table. "
        "What was evaluated before is not evaluated again.",
    )
    parser.add_argument("checkpoint", help=".safetensors, or an official .pth with model_type=NAME")
    parser.add_argument("overrides", nargs="*", help="of sam_train.evaluate: suite=local, ...")
    parser.add_argument("--floors", default=FLOORS, help="segmenters (%(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("outputs/table"), help="folder (%(default)s)"
    )
    with one_sentence_errors("evaluation_table"):
        options = parser.parse_intermixed_args()
        if not Path(options.checkpoint).is_file():  # before the floors take their time
            raise ValueError(f"there is no checkpoint file {options.checkpoint}: check its name")
        floors = [name for name in options.floors.split(",") if name]
        for name in floors:
            evaluate(options.out / name, [f"segmenter={name}", *options.overrides])
        given = [f"checkpoint={options.checkpoint}", *options.overrides]
        given += [f"against={options.out / name}" for name in floors[:1]]
        evaluate(options.out / "model", given)
        folders = [options.out / name for name in ("model", *floors)]
        reports = {folder.name: read_report(folder) for folder in folders}
        print(markdown_table(reports))


def evaluate(output_dir: Path, overrides: Sequence[str]) -> None:
    """Runs the entry point, whose report then says the command that it was."""
    command = [sys.executable, "-m", "sam_train.evaluate", *overrides, f"output_dir={output_dir}"]
    if subprocess.run(command, stdout=sys.stderr).returncode:
        raise ValueError(f"{output_dir} could not be evaluated; what is wrong stands above")


def read_report(folder: Path) -> Report:
    return json.loads((folder / "report.json").read_text())


def markdown_table(reports: Mapping[str, Report]) -> str:
    """A row for each report, the sets of every protocol below."""
    known = next(iter(reports.values()))["protocols"]
    headings = {
        (protocol, number): heading
        for protocol, numbers in HEADLINES.items()
        for number, heading in numbers.items()
        if number in known.get(protocol, {}).get("mean", {})
    }
    lines = [["", *headings.values()], ["---"] * (len(headings) + 1)]
    for name, report in reports.items():
        values = (report["protocols"][p]["mean"].get(number) for p, number in headings)
        lines.append([name, *map(short_number, values)])
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{table}\n\n{sets_sentence(known)}"


def short_number(value: float | None) -> str:
    """.321 of a share, 18.2 of a count; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.3f}".removeprefix("0") if value < 1 else f"{value:.1f}"


def sets_sentence(protocols: Mapping[str, Any]) -> str:
    """What the numbers are means of."""
    said = [
        f"{name}: {', '.join(found['sets'])} ({found['mean']['masks']} masks)"
        for name, found in protocols.items()
    ]
    return f"{'; '.join(said)}."


if __name__ == "__main__":
    main()
