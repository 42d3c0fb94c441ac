"""Bilinear enlargement of low-resolution logits in two steps, composed, and exactly at a pixel.

`Sam.postprocess_masks` resizes to the input frame, cuts the padding off, and resizes to the image.
Both are linear and act on rows and columns apart, so together they are R_y M R_x^T with at most
three neighbours in each row of R. What rounding decides can be asked pixel by pixel.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

TILE = 64  # pixels a side: 16 KB of logits, which stay in the nearest cache


@dataclass(frozen=True)
class Taps:
    """The two neighbours of every sample of a bilinear resize along one axis, and their weights."""

    low: Int[Tensor, " L"]
    high: Int[Tensor, " L"]
    low_weight: Float[Tensor, " L"]
    high_weight: Float[Tensor, " L"]


@dataclass(frozen=True)
class Axis:
    """Rows (or columns) of a crop, as they come from those of the low-resolution logits.

    The pixels are cut into tiles. `weights` times the `support` low-resolution rows from `first`
    on gives the rows of a tile; those beyond the crop have no weights.
    """

    length: int
    first: Int[Tensor, " T"]
    weights: Float[Tensor, "T tile K"]
    to_input: Taps
    to_original: Taps

    @property
    def support(self) -> int:
        return self.weights.shape[2]

    def tile_lengths(self) -> Int[Tensor, " T"]:
        """How many rows of each tile belong to the crop."""
        starts = torch.arange(len(self.first), device=self.first.device) * TILE
        return (self.length - starts).clamp(max=TILE)


@lru_cache(maxsize=64)
def enlarged_axis(
    low_res: int, frame: int, inside: int, original: int, device: torch.device
) -> Axis:
    """From `low_res` to the input frame's `frame` pixels, of which `inside` go to `original`."""
    to_input, to_original = bilinear_taps(low_res, frame), bilinear_taps(inside, original)
    sources, weights = _compose(to_input, to_original)

    tile = np.arange(original) // TILE
    starts = np.arange(0, original, TILE)
    nearest = np.minimum.reduceat(sources.min(1), starts)
    support = int((np.maximum.reduceat(sources.max(1), starts) - nearest).max()) + 1
    first = np.minimum(nearest, low_res - support)
    matrices = np.zeros((len(starts), TILE, support))
    rows = np.arange(original) - tile * TILE
    np.add.at(matrices, (tile[:, None], rows[:, None], sources - first[tile, None]), weights)
    return Axis(
        original,
        torch.from_numpy(first).to(device),
        torch.from_numpy(matrices.astype(np.float32)).to(device),
        _on(to_input, device),
        _on(to_original, device),
    )


def bilinear_taps(length: int, new_length: int) -> Taps:
    """Those of `F.interpolate(mode="bilinear", align_corners=False)`, in its fp32 with FMA."""
    one = np.float32(1)
    scale = np.float32(length) / np.float32(new_length)
    at = (np.float64(scale) * (np.arange(new_length) + 0.5) - 0.5).astype(np.float32)
    at = np.maximum(at, 0)
    low = np.minimum(at.astype(np.int64), length - 1)
    high_weight = np.clip(at - low.astype(np.float32), 0, one)
    arrays = (low, np.minimum(low + 1, length - 1), one - high_weight, high_weight)
    return Taps(*map(torch.from_numpy, arrays))


def exact_logits(
    low_res_logits: Float[Tensor, "N h w"],
    axes: tuple[Axis, Axis],
    mask: Int[Tensor, " P"],
    y: Int[Tensor, " P"],
    x: Int[Tensor, " P"],
) -> Float[Tensor, " P"]:
    """Pixels (y, x) of enlarged masks as torch's CPU kernel for three masks at once computes them.

    That is what segment_anything calls. The order of its sums decides on pixels whose logit is
    within rounding of a threshold; on hardware without FMA, or on a GPU, the last bit may differ.
    """
    rows, columns = axes

    def in_frame(row: Tensor, column: Tensor) -> Tensor:
        return _interpolated(
            lambda i, j: low_res_logits[mask, i, j], rows.to_input, columns.to_input, row, column
        )

    return _interpolated(in_frame, rows.to_original, columns.to_original, y, x)


def _interpolated(
    value: Callable[[Tensor, Tensor], Tensor], rows: Taps, columns: Taps, y: Tensor, x: Tensor
) -> Float[Tensor, " P"]:
    """The four neighbours of each pixel times their weights, added up from the upper right."""
    top, bottom = (rows.low[y], rows.low_weight[y]), (rows.high[y], rows.high_weight[y])
    left, right = (columns.low[x], columns.low_weight[x]), (columns.high[x], columns.high_weight[x])
    total = value(top[0], right[0]) * (top[1] * right[1])
    for row, column in ((top, left), (bottom, left), (bottom, right)):
        weight = row[1] * column[1]
        total = _fused(value(row[0], column[0]), weight, total)
    return total


def _fused(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """a * b + c, rounded once."""
    return (a.double() * b.double() + c.double()).float()


def _compose(first: Taps, second: Taps) -> tuple[Int[np.ndarray, "L 4"], Float[np.ndarray, "L 4"]]:
    """The sources of `second`'s samples before `first`, and their weights."""
    sources, weights = [], []
    for middle, weight in (
        (second.low, second.low_weight),
        (second.high, second.high_weight),
    ):
        sources += [first.low[middle], first.high[middle]]
        weights += [
            weight.double() * first.low_weight[middle].double(),
            weight.double() * first.high_weight[middle].double(),
        ]
    return torch.stack(sources, 1).numpy(), torch.stack(weights, 1).numpy()


def _on(taps: Taps, device: torch.device) -> Taps:
    arrays = (taps.low, taps.high, taps.low_weight, taps.high_weight)
    return Taps(*(array.to(device) for array in arrays))
