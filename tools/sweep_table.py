"""The training runs of a sweep as one table, and their curves.

python -m tools.sweep_table outputs/ablations
"""

import argparse
import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from sam_train.command_line import one_sentence_errors

MEASURES = ("val/iou_at_1", "val/iou_at_3", "val/iou_at_5", "val/iou_with_box")
SPEED = "speed/images_per_s"


@dataclass(frozen=True)
class Run:
    """What a run logged: for each name its (step, value) pairs."""

    name: str
    seed: int
    logged: Mapping[str, Sequence[tuple[int, float]]]

    def last(self, measure: str) -> float:
        return self.logged[measure][-1][1]

    def speed(self) -> float:
        """Median images a second."""
        return median(value for _, value in self.logged[SPEED])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds one folder for each run")
    folder = parser.parse_args().folder
    with one_sentence_errors("sweep_table"):
        runs = read_runs(folder)
        text = table(runs)
        (folder / "table.md").write_text(text)
        draw_curves(runs, folder / "curves.svg")
        print(f"{text}\n{folder / 'table.md'}, {folder / 'curves.svg'}")


def read_runs(folder: Path) -> dict[str, list[Run]]:
    """The finished runs below a folder by their `run_name`, one for each seed."""
    runs: dict[str, list[Run]] = defaultdict(list)
    for weights in sorted(folder.glob("*/model.safetensors")):
        run = read_run(weights.parent)
        runs[run.name].append(run)
    if not runs:
        raise FileNotFoundError(
            f"{folder} holds no folder of a finished run (with model.safetensors): give the folder "
            f"of a sweep, or give the sweep's command again to finish it"
        )
    return dict(runs)


def read_run(folder: Path) -> Run:
    """A run with callbacks=validated; the metrics of an interrupted one lie in several files."""
    from omegaconf import OmegaConf

    config: Any = OmegaConf.load(folder / "config.yaml")
    logged: dict[str, dict[int, float]] = defaultdict(dict)
    files = sorted(folder.glob("metrics-*.csv"), key=lambda file: int(file.stem.split("-")[1]))
    for file in [*files, folder / "metrics.csv"]:
        with file.open() as opened:
            for row in csv.DictReader(opened):
                for name in (*MEASURES, SPEED):
                    if row.get(name):
                        logged[name][int(row["step"])] = float(row[name])
    if missing := {*MEASURES, SPEED} - logged.keys():
        raise ValueError(
            f"{folder} has no {min(missing)} in its metrics: train with callbacks=validated, for "
            f"more steps than callbacks.validation.every_n_steps"
        )
    series = {name: sorted(values.items()) for name, values in logged.items()}
    return Run(config["run_name"], config["seed"], series)


def table(runs: Mapping[str, Sequence[Run]]) -> str:
    """A Markdown table of the last values: their mean over seeds and half of their range."""
    names = [measure.removeprefix("val/") for measure in MEASURES]
    lines = [
        f"| run | seeds | {' | '.join(names)} | images/s |",
        "|---|---|" + "---|" * (len(names) + 1),
    ]
    for name, seeds in runs.items():
        cells = [mean_and_range([run.last(measure) for run in seeds]) for measure in MEASURES]
        speed = mean(run.speed() for run in seeds)
        lines.append(f"| {name} | {len(seeds)} | {' | '.join(cells)} | {speed:.2g} |")
    return "\n".join([*lines, ""])


def mean_and_range(values: Sequence[float]) -> str:
    text = f"{mean(values):.3f}"
    return text if len(values) == 1 else f"{text} ± {(max(values) - min(values)) / 2:.3f}"


def draw_curves(runs: Mapping[str, Sequence[Run]], file: Path) -> None:
    """One panel for each measure, one line for each run: the mean of its seeds by step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(MEASURES), 4), layout="constrained")
    panels = figure.subplots(1, len(MEASURES), sharex=True)
    for panel, measure in zip(panels, MEASURES, strict=True):
        for name, seeds in runs.items():
            values = defaultdict(list)
            for run in seeds:
                for step, value in run.logged[measure]:
                    values[step].append(value)
            panel.plot(list(values), [mean(each) for each in values.values()], label=name)
        panel.set(title=measure.removeprefix("val/"), xlabel="step")
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize="small")
    figure.savefig(file)


if __name__ == "__main__":
    main()
