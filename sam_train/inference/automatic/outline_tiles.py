"""Masks at the size of a crop, computed only in the tiles that their outlines pass through.

Every pixel is a mean of low-resolution logits nearby. Where these all lie above the thresholds, or
all below, nothing needs to be enlarged; that is most of the image.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sam_train.inference.automatic.enlarging import TILE, Axis, exact_logits

# Tiles that are enlarged at once: 2 MB of logits on a CPU, which stay in its second cache.
TILES_AT_ONCE = {"cpu": 128, "cuda": 2**14}
# Tiles of masks that are held at once, as booleans: 32 MB.
MAX_TILES = 2**13

# How far a composed product may lie from the two resizes, relative to the logits around it:
# about sixty units in the last place of fp32, three times the bound of the roundings' sum.
ROUNDING = 2.0**-18


@dataclass(frozen=True)
class Levels:
    """The threshold of a mask, and how far from it its stability is measured."""

    mask: float
    offset: float

    @property
    def logits(self) -> tuple[float, float, float]:
        """The three thresholds, from low to high."""
        return self.mask - self.offset, self.mask, self.mask + self.offset

    @property
    def floor(self) -> float:
        """Below all of them. Logits are taken relative to it, so 0 is outside every mask."""
        return self.mask - self.offset - 1

    @property
    def heights(self) -> tuple[float, float, float]:
        """The three thresholds above the floor."""
        return 1.0, 1 + self.offset, 1 + 2 * self.offset


@dataclass(frozen=True)
class TiledMasks:
    """N masks of one crop. Of all tiles (N, rows, columns) `full` are foreground throughout, and
    `outline` are partly; the pixels of these are in `bits`, in the order of the masks."""

    size: tuple[int, int]
    full: Bool[np.ndarray, "N rows columns"]
    outline: Bool[np.ndarray, "N rows columns"]
    bits: Bool[np.ndarray, "T tile tile"]
    inner_area: Int[np.ndarray, " N"]
    outer_area: Int[np.ndarray, " N"]

    def window(self, index: int) -> tuple[tuple[int, int], Bool[np.ndarray, "h w"]]:
        """The (x, y) corner and the pixels of a part of the crop outside of which is background."""
        full, outline = self.full[index], self.outline[index]
        (rows,) = np.nonzero((full | outline).any(1))
        (columns,) = np.nonzero((full | outline).any(0))
        if not len(rows):
            return (0, 0), np.zeros((0, 0), bool)
        tiles = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        stop = np.count_nonzero(self.outline[: index + 1])
        bits = self.bits[stop - np.count_nonzero(outline) : stop]

        height, width = full[tiles].shape
        pixels = np.zeros((height, TILE, width, TILE), bool)
        by_tile = pixels.swapaxes(1, 2)
        by_tile[full[tiles]] = True
        by_tile[outline[tiles]] = bits
        y, x = int(rows[0]) * TILE, int(columns[0]) * TILE
        shown = pixels.reshape(height * TILE, width * TILE)
        return (x, y), shown[: self.size[0] - y, : self.size[1] - x]


def tiled_masks(
    low_res_logits: Float[Tensor, "N h w"], axes: tuple[Axis, Axis], levels: Levels
) -> Iterator[tuple[slice, TiledMasks]]:
    """The masks in groups of bounded memory, each with its place among all."""
    full, outline = _sort_tiles(low_res_logits, axes, levels)
    for group in _groups(outline.sum((1, 2)).tolist()):
        yield group, _enlarge(low_res_logits[group], full[group], outline[group], axes, levels)


def _groups(tiles: list[int]) -> Iterator[slice]:
    """Cuts a list of masks into runs that have at most `MAX_TILES` tiles, or are one mask."""
    start = held = 0
    for index, count in enumerate(tiles):
        if index > start and held + count > MAX_TILES:
            yield slice(start, index)
            start, held = index, 0
        held += count
    yield slice(start, len(tiles))


def _sort_tiles(
    low_res_logits: Float[Tensor, "N h w"], axes: tuple[Axis, Axis], levels: Levels
) -> tuple[Bool[Tensor, "N rows columns"], Bool[Tensor, "N rows columns"]]:
    """Which tiles lie above all thresholds, and which of the others not below all."""
    rows, columns = axes
    outer, _, inner = levels.logits
    bands = [low_res_logits[:, i : i + rows.support] for i in rows.first.tolist()]
    support = columns.first[:, None] + torch.arange(columns.support, device=columns.first.device)
    lowest = torch.stack([band.amin(1) for band in bands], 1)[..., support].amin(-1)
    highest = torch.stack([band.amax(1) for band in bands], 1)[..., support].amax(-1)
    rounding = ROUNDING * torch.maximum(highest - levels.floor, levels.floor - lowest)
    full = lowest > inner + rounding
    return full, ~full & (highest > outer - rounding)


def _enlarge(
    low_res_logits: Float[Tensor, "N h w"],
    full: Bool[Tensor, "N rows columns"],
    outline: Bool[Tensor, "N rows columns"],
    axes: tuple[Axis, Axis],
    levels: Levels,
) -> TiledMasks:
    rows, columns = axes
    tile_area = rows.tile_lengths()[:, None] * columns.tile_lengths()
    outer = (full * tile_area).sum((1, 2))
    inner = outer.clone()
    places = outline.nonzero()  # (T, 3)
    bits = np.empty((len(places), TILE, TILE), bool)

    start, at_once = 0, TILES_AT_ONCE.get(places.device.type, TILES_AT_ONCE["cuda"])
    for chunk in places.split(at_once):
        heights = _exact_heights(low_res_logits, chunk, axes, levels)
        above_outer, above, above_inner = (_above(heights, level) for level in levels.heights)
        outer.index_add_(0, chunk[:, 0], above_outer.sum((1, 2)).long())
        inner.index_add_(0, chunk[:, 0], above_inner.sum((1, 2)).long())
        bits[start : start + len(chunk)] = above.bool().cpu().numpy()
        start += len(chunk)
    arrays = (full, outline, inner, outer)
    full, outline, inner, outer = (array.cpu().numpy() for array in arrays)
    return TiledMasks((rows.length, columns.length), full, outline, bits, inner, outer)


def _above(heights: Float[Tensor, "T tile tile"], level: float) -> Float[Tensor, "T tile tile"]:
    """One where a height is above the level, else zero: several times as fast as to compare."""
    return (heights - level).mul_(2.0**100).clamp_(0, 1)


def _exact_heights(
    low_res_logits: Float[Tensor, "N h w"],
    places: Int[Tensor, "T 3"],
    axes: tuple[Axis, Axis],
    levels: Levels,
) -> Float[Tensor, "T tile tile"]:
    """The heights of tiles, each on the side of every threshold where the two resizes have it."""
    heights, rounding = _heights(low_res_logits, places, axes, levels.floor)
    low, middle, high = levels.heights
    distance = (heights - middle).abs_()
    distance = torch.minimum(distance, (distance - levels.offset).abs_())  # to the nearest level
    (unsure,) = (distance.amin((1, 2)) <= rounding).nonzero(as_tuple=True)
    which, y, x = (distance[unsure] <= rounding[unsure, None, None]).nonzero(as_tuple=True)
    tile = unsure[which]

    mask, row, column = places[tile].T
    logits = exact_logits(low_res_logits, axes, mask, row * TILE + y, column * TILE + x)
    passed = sum((logits > level).long() for level in levels.logits)
    between = heights.new_tensor([0, (low + middle) / 2, (middle + high) / 2, high + 1])
    heights[tile, y, x] = between[passed]
    return heights


def _heights(
    low_res_logits: Float[Tensor, "N h w"],
    places: Int[Tensor, "T 3"],
    axes: tuple[Axis, Axis],
    floor: float,
) -> tuple[Float[Tensor, "T tile tile"], Float[Tensor, " T"]]:
    """The logits of tiles above the floor, and how far rounding may have moved them.

    Pixels beyond the crop lie on the floor. Where matrix products are allowed to round more than
    fp32 does, they are done in fp64.
    """
    rows, columns = axes
    mask, row, column = places.T
    i = rows.first[row][:, None] + torch.arange(rows.support, device=row.device)
    j = columns.first[column][:, None] + torch.arange(columns.support, device=row.device)
    patches = low_res_logits[mask[:, None, None], i[:, :, None], j[:, None, :]] - floor
    rounding = ROUNDING * patches.abs().amax((1, 2))
    exact = patches.device.type == "cpu" and torch.get_float32_matmul_precision() == "highest"
    dtype = torch.float32 if exact else torch.float64
    down, across = rows.weights[row].to(dtype), columns.weights[column].to(dtype)
    return (down @ patches.to(dtype)) @ across.mT, rounding
