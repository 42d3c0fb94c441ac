"""Figures of the reports: SVG text that is put into the page as it is."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sam_train.evaluation.measures.calibration import Bin

# Text stays text (small, selectable); equal data gives equal bytes.
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa3ad",
    "xtick.color": "#4b5560",
    "ytick.color": "#4b5560",
}
INK, ACCENT, FLOOR = "#1f2933", "#2563eb", "#b4541a"
# Floor: the number beside which it stands, and the side of its name.
FLOORS = {
    "disc": ("iou_at_1", "right"),
    "box": ("iou_box", "left"),
    "ellipse": ("iou_box", "right"),
}


def iou_curves(series: Mapping[str, Mapping[str, Any]]) -> Markup:
    """IoU against clicks and with a box, a line per summary, the last one in colour.

    The floors of the last summary stand as dashes beside the number that they bound.
    """
    if not series:
        return Markup("")
    *_, last = series.values()
    clicks = click_counts(last)
    places = {f"iou_at_{count}": float(i) for i, count in enumerate(clicks)}
    places["iou_box"] = len(clicks) + 0.25

    figure, axes = new_figure(9.6, 3.6)
    for index, (name, summary) in enumerate(series.items()):
        _plot_summary(axes, name, summary, places, colour=shade(index, len(series)))
    for floor, (bounded, side) in FLOORS.items():
        if floor in last and bounded in places:
            _plot_floor(axes, floor, last[floor], places[bounded], side=side)
    axes.set_xticks(list(places.values()), [*map(str, clicks), "box"])
    axes.set_xlabel("clicks, or a box")
    axes.set_ylabel("mean IoU")
    axes.set_ylim(0, 1)
    axes.grid(axis="y", color="#e6e9ed", linewidth=0.8)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.02, 0.5))
    return svg(figure)


def line_curves(series: Mapping[str, Sequence[float]], x_label: str, y_label: str) -> Markup:
    """A value against 1, 2, 3, ..., a line per name, the last one in colour."""
    figure, axes = new_figure(6.4, 3.2)
    for index, (name, values) in enumerate(series.items()):
        places = range(1, len(values) + 1)
        axes.plot(places, values, color=shade(index, len(series)), label=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, 1)
    return _labelled(figure, axes, x_label, y_label)


def recall_precision(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Markup:
    """Precision against recall, a line per name, the last one in colour."""
    figure, axes = new_figure(4.4, 3.2)
    for index, (name, (recall, precision)) in enumerate(curves.items()):
        axes.plot(recall, precision, color=shade(index, len(curves)), label=name)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    return _labelled(figure, axes, "recall", "precision")


def reliability(bins: Sequence[Bin]) -> Markup:
    """The true IoU of the masks of each bin of predicted IoU; the diagonal would be perfect."""
    figure, axes = new_figure(4.4, 3.2)
    axes.plot([0, 1], [0, 1], color="#c3cad2", linewidth=1)
    largest = max(b.masks for b in bins)
    sizes = [12 + 120 * b.masks / largest for b in bins]
    axes.plot([b.predicted for b in bins], [b.true for b in bins], color=ACCENT, linewidth=1)
    axes.scatter([b.predicted for b in bins], [b.true for b in bins], s=sizes, color=ACCENT,
                 label="size: number of masks")  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    return _labelled(figure, axes, "predicted IoU", "true IoU")


def bars(title: str, labels: Sequence[str], values: Sequence[float]) -> Markup:
    """One bar per label, its value written at its end."""
    figure, axes = new_figure(3.5, 0.55 + 0.34 * len(labels))
    places = list(range(len(labels)))[::-1]
    drawn = axes.barh(places, values, color=ACCENT, height=0.62)
    axes.bar_label(drawn, [f"{value:.1f}" for value in values], padding=3, color=INK)
    axes.set_yticks(places, labels)
    axes.set_xticks([])
    axes.set_xlim(0, 1.2 * max([*values, 1e-9]))
    axes.tick_params(axis="y", length=0)
    axes.spines["bottom"].set_visible(False)
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    return svg(figure)


def click_counts(summary: Mapping[str, Any]) -> list[int]:
    """The click counts that a summary holds an IoU for, ascending."""
    prefix = "iou_at_"
    return sorted(int(name.removeprefix(prefix)) for name in summary if name.startswith(prefix))


def _labelled(figure: Figure, axes: Axes, x_label: str, y_label: str) -> Markup:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(axis="y", color="#e6e9ed", linewidth=0.8)
    axes.legend(frameon=False, fontsize=8)
    return svg(figure)


def _plot_summary(
    axes: Axes,
    name: str,
    summary: Mapping[str, Any],
    places: Mapping[str, float],
    *,
    colour: tuple[float, float, float],
) -> None:
    known = {key: places[key] for key in places if key in summary and key != "iou_box"}
    values = [summary[key] for key in known]
    axes.plot(list(known.values()), values, "o-", color=colour, markersize=4, label=name)
    if "iou_box" in summary:
        axes.plot([places["iou_box"]], [summary["iou_box"]], "s", color=colour, markersize=5)


def _plot_floor(axes: Axes, name: str, value: float, place: float, *, side: str) -> None:
    axes.hlines(value, place - 0.2, place + 0.2, colors=FLOOR, linewidth=1.6)
    shift, align = (0.24, "left") if side == "right" else (-0.24, "right")
    axes.annotate(name, (place + shift, value), color=FLOOR, fontsize=8, va="center", ha=align)


def shade(index: int, count: int) -> tuple[float, float, float]:
    """Greys that darken from the first to the one before last; the last in the accent."""
    if index == count - 1:
        return matplotlib.colors.to_rgb(ACCENT)
    grey = 0.78 - 0.45 * index / max(1, count - 1)
    return grey, grey, grey


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    with matplotlib.rc_context(STYLE):
        figure = Figure((width, height), layout="constrained")
        return figure, figure.add_subplot()


def svg(figure: Figure) -> Markup:
    text = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    return Markup(svg[svg.index("<svg") :])
