"""A sweep as pictures: validation by step, and the tried values against what came of them."""

import io
from collections import defaultdict
from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.sweeps.groups import Group, short
from tools.sweeps.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_NAMED = 10  # lines that a legend can tell apart


def curves(groups: Sequence[Group], measures: Sequence[str]) -> str:
    """One panel for each measure, one line for each row: the mean of its seeds by step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(measures), 4), layout="constrained")
    panels = figure.subplots(1, len(measures), sharex=True, squeeze=False)[0]
    for panel, measure in zip(panels, measures, strict=True):
        for group in groups:
            steps, values = mean_curve(group.runs, measure)
            panel.plot(steps, values, label=group.label, marker=".")
        panel.set(title=measure.removeprefix("val/"), xlabel="step")
        panel.grid(alpha=0.3)
    if len(groups) <= MAX_NAMED:
        lines, names = panels[0].get_legend_handles_labels()
        figure.legend(lines, names, fontsize="small", loc="outside lower center", ncols=4)
    return as_svg(figure)


def mean_curve(runs: Sequence[Run], measure: str) -> tuple[list[int], list[float]]:
    """The mean of the seeds at each step at which one was measured.

    A value is logged again and again until the next is measured; only its first place counts.
    """
    values = defaultdict(list)
    for run in runs:
        before = None
        for step, value in run.logged.get(measure, ()):
            if value != before:
                values[step].append(value)
            before = value
    steps = sorted(values)
    return steps, [mean(values[step]) for step in steps]


def parallel(groups: Sequence[Group], measure: str) -> str | None:
    """Parallel coordinates: a line for each row through its values, coloured by the measure.

    None where rows differ in fewer than two values, which a table shows as well.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    shown = [group for group in groups if group.mean(measure) is not None]
    keys = list(shown[0].values)
    if len(keys) < 2:
        return None
    columns = {key: [group.values[key] for group in shown] for key in keys}
    columns[measure] = [group.mean(measure) for group in shown]
    figure = Figure(figsize=(max(10, 2.4 * len(columns)), 4.5), layout="constrained")
    axes = figure.subplots()
    heights = np.stack(
        [draw_axis(axes, number, key, each) for number, (key, each) in enumerate(columns.items())]
    )  # (columns, rows), 0 to 1
    colour = ScalarMappable(Normalize(min(columns[measure]), max(columns[measure])), "viridis")
    for line, value in sorted(zip(heights.T, columns[measure], strict=True), key=lambda e: e[1]):
        axes.plot(range(len(line)), line, color=colormaps["viridis"](colour.norm(value)), lw=1.6)
    axes.set_xlim(-0.2, len(columns) - 0.6)
    axes.axis("off")
    figure.colorbar(colour, ax=axes, label=measure.removeprefix("val/"), fraction=0.04)
    return as_svg(figure)


def draw_axis(axes: "Axes", number: int, key: str, values: Sequence[Any]) -> np.ndarray:
    """Draws the axis of one key with its marks; returns the heights of the values on it."""
    heights, marks = scaled(values)
    axes.axvline(number, ymin=0.05, ymax=0.95, color="0.7", lw=1)
    axes.set_ylim(-0.08, 1.12)
    for text, height in marks.items():
        axes.text(number - 0.03, height, text, ha="right", va="center", fontsize=8, color="0.3")
    axes.text(number, 1.08, key.rpartition(".")[2].removeprefix("val/"), ha="center", fontsize=9)
    return heights


def scaled(values: Sequence[Any]) -> tuple[np.ndarray, dict[str, float]]:
    """Heights from 0 to 1, logarithmic over two decades and more; and a mark for some of them."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        names = sorted({str(value) for value in values})
        places = dict(zip(names, np.linspace(0, 1, len(names)).tolist(), strict=True))
        return np.array([places[str(value)] for value in values]), places
    numbers = np.array(values, float)
    is_log = numbers.min() > 0 and numbers.max() >= 30 * numbers.min()
    along = np.log(numbers) if is_log else numbers
    extent = (along.max() - along.min()) or 1.0
    ends = np.linspace(along.min(), along.max(), 5 if extent else 1)
    marks = {short(float(np.exp(e) if is_log else e)): (e - along.min()) / extent for e in ends}
    return (along - along.min()) / extent, marks


def as_svg(figure: "Figure") -> str:
    """The picture as an element of a page."""
    out = io.StringIO()
    figure.savefig(out, format="svg")
    return out.getvalue()[out.getvalue().index("<svg") :]
