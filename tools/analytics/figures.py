"""Figures of the datasheet, as SVG: distributions and centre maps."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sam_train.evaluation.figures import ACCENT, INK, new_figure, shade, svg

SIZE = 3.7, 2.5  # inches; three in a row
Counts = Int[np.ndarray, " bins"]


def distribution(
    title: str, counts: Mapping[str, Counts], edges: Sequence[float | int], *, log10: bool = False
) -> Markup:
    """The share of masks in each bin, a line per version, the last one in colour.

    With `log10` the edges are exponents, and the axis shows the numbers themselves.
    """
    figure, axes = new_figure(*SIZE)
    _plot_shares(axes, counts, edges)
    if log10:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda exponent, _: f"{10**exponent:g}"))
    return _finish(figure, axes, title)


def size_classes(title: str, counts: Mapping[str, Counts], classes: Sequence[str]) -> Markup:
    """The share of images in each class, a line per version, the last one in colour."""
    figure, axes = new_figure(*SIZE)
    _plot_shares(axes, counts, range(len(classes) + 1))
    axes.set_xticks([place + 0.5 for place in range(len(classes))], classes)
    axes.tick_params(axis="x", length=0, labelsize=8, rotation=40)
    return _finish(figure, axes, title, unit="images")


def centre_map(title: str, counts: Int[np.ndarray, "y x"]) -> Markup:
    """How many masks have their centre in each cell of an image, whatever its shape."""
    figure, axes = new_figure(3.1, 3.2)
    drawn = axes.imshow(counts, cmap="magma", vmin=0, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    figure.colorbar(drawn, ax=axes, shrink=0.8, label="masks in a cell")
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    return svg(figure)


def _plot_shares(axes: Axes, counts: Mapping[str, Counts], edges: Sequence[float | int]) -> None:
    for index, (name, count) in enumerate(counts.items()):
        share = 100 * count / max(1, count.sum())
        axes.stairs(share, edges, color=shade(index, len(counts)), linewidth=1.4, label=name)
    axes.stairs(share, edges, color=ACCENT, fill=True, alpha=0.12)


def _finish(figure: Figure, axes: Axes, title: str, *, unit: str = "masks") -> Markup:
    axes.set_ylabel(f"% of {unit}")
    if len(axes.get_legend_handles_labels()[1]) > 1:
        axes.legend(frameon=False, fontsize=8)
    axes.grid(axis="y", color="#e6e9ed", linewidth=0.8)
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    return svg(figure)
