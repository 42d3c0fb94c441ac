"""Masks at the size of a crop, computed only in the tiles that their outlines pass through.

Every pixel is a mean of low-resolution logits nearby. Where these all lie above the thresholds, or
all below, nothing needs to be enlarged; that is most of the image.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from sam_train.inference.automatic.enlarging import TILE, Axis, exact_logits

# Tiles of masks that are held at once, a bit for each pixel: 4 MB.
MAX_TILES = 2**13
# Tiles that are enlarged at once: 2 MB of logits on a CPU, which stay in its second cache.
TILES_AT_ONCE = {"cpu": 128, "cuda": MAX_TILES}

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
class MaskTiles:
    """One mask as tiles, the first of which is at the (x, y) `corner` of the crop.

    Of all tiles `full` are foreground throughout, and `outline` are partly; the pixels of these
    are in `bits`, eight to a byte. What lies beyond `size`, the (H, W) from the corner to the end
    of the crop, is background.
    """

    corner: tuple[int, int]
    size: tuple[int, int]
    full: Bool[np.ndarray, "rows columns"]
    outline: Bool[np.ndarray, "rows columns"]
    bits: UInt8[np.ndarray, "T tile bytes"]

    def window(self) -> Bool[np.ndarray, "h w"]:
        """The pixels from the corner on; outside of them the crop is background."""
        height, width = self.full.shape
        pixels = np.zeros((height, TILE, width, TILE), bool)
        by_tile = pixels.swapaxes(1, 2)
        by_tile[self.full] = True
        by_tile[self.outline] = np.unpackbits(self.bits, axis=-1).view(bool)
        shown = pixels.reshape(height * TILE, width * TILE)
        return shown[: self.size[0], : self.size[1]]


@dataclass(frozen=True)
class TiledMasks:
    """N masks of one crop of `size` (H, W), each as in `MaskTiles`; `bits` in the order of masks.

    `inner_area` and `outer_area` are those at the highest and the lowest level. The boxes are XYXY,
    their ends inclusive; that of an empty mask is zeros.
    """

    size: tuple[int, int]
    full: Bool[np.ndarray, "N rows columns"]
    outline: Bool[np.ndarray, "N rows columns"]
    bits: UInt8[np.ndarray, "T tile bytes"]
    boxes: Int[np.ndarray, "N 4"]
    area: Int[np.ndarray, " N"]
    inner_area: Int[np.ndarray, " N"]
    outer_area: Int[np.ndarray, " N"]

    def __getitem__(self, index: int) -> MaskTiles:
        """One mask, in copies of the tiles of its box, so that it keeps no others in memory."""
        left, top, right, bottom = (self.boxes[index] // TILE).tolist()
        box = np.zeros(self.full.shape[1:], bool)
        box[top : bottom + 1, left : right + 1] = True
        tiles = np.s_[index, top : bottom + 1, left : right + 1]
        start, stop = self._starts[index : index + 2]
        return MaskTiles(
            corner=(left * TILE, top * TILE),
            size=(self.size[0] - top * TILE, self.size[1] - left * TILE),
            full=self.full[tiles].copy(),
            outline=self.outline[tiles].copy(),
            bits=self.bits[start:stop][box[self.outline[index]]],
        )

    @cached_property
    def _starts(self) -> list[int]:
        """Where the bits of each mask begin, and where the last end."""
        return np.cumsum([0, *np.count_nonzero(self.outline, axis=(1, 2))]).tolist()


def tiled_masks(
    low_res_logits: Float[Tensor, "N h w"], axes: tuple[Axis, Axis], levels: Levels
) -> Iterator[tuple[slice, TiledMasks]]:
    """The masks in groups of bounded memory, each with its place among all.

    ValueError where a logit is not finite.
    """
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
    if not (torch.isfinite(lowest) & torch.isfinite(highest)).all():
        raise ValueError(
            "the model answers with masks of NaN or infinite logits: its weights are damaged, or "
            "too large for the precision; try another checkpoint, or without bf16"
        )
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
    """The masks in the tiles of their outlines, with areas and boxes from the same pass."""
    rows, columns = axes
    tile_area = rows.tile_lengths()[:, None] * columns.tile_lengths()
    outer = (full * tile_area).sum((1, 2))
    area, inner = outer.clone(), outer.clone()
    # Which pixel rows and columns of every tile row and column hold foreground.
    seen_rows = full.any(2)[..., None].repeat(1, 1, TILE)
    seen_columns = full.any(1)[..., None].repeat(1, 1, TILE)
    places = outline.nonzero()  # (T, 3)
    bits = np.empty((len(places), TILE, TILE // 8), np.uint8)

    # Enlarges the outlines, a part of the tiles at a time.
    start, at_once = 0, TILES_AT_ONCE.get(places.device.type, TILES_AT_ONCE["cuda"])
    for chunk in places.split(at_once):
        heights = _exact_heights(low_res_logits, chunk, axes, levels)
        above_outer, above, above_inner = (_above(heights, level) for level in levels.heights)
        mask, row, column = chunk.T
        for total, tiles in ((outer, above_outer), (area, above), (inner, above_inner)):
            total.index_add_(0, mask, tiles.sum((1, 2)).long())
        seen_rows.index_put_((mask, row), above.amax(2).bool(), accumulate=True)
        seen_columns.index_put_((mask, column), above.amax(1).bool(), accumulate=True)
        bits[start : start + len(chunk)] = _packed(above).cpu().numpy()
        start += len(chunk)
    seen = (seen_columns.flatten(1)[:, : columns.length], seen_rows.flatten(1)[:, : rows.length])
    return TiledMasks(
        (rows.length, columns.length),
        full.cpu().numpy(),
        outline.cpu().numpy(),
        bits,
        boxes=_boxes(*(axis.cpu().numpy() for axis in seen)),
        area=area.cpu().numpy(),
        inner_area=inner.cpu().numpy(),
        outer_area=outer.cpu().numpy(),
    )


def _boxes(
    columns: Bool[np.ndarray, "N W"], rows: Bool[np.ndarray, "N H"]
) -> Int[np.ndarray, "N 4"]:
    """The inclusive XYXY boxes around what is seen in columns and rows; zeros around nothing."""
    first = [seen.argmax(1) for seen in (columns, rows)]
    last = [seen.shape[1] - 1 - seen[:, ::-1].argmax(1) for seen in (columns, rows)]
    return np.stack(first + last, axis=1) * rows.any(1, keepdims=True)


def _packed(above: Float[Tensor, "T tile tile"]) -> UInt8[Tensor, "T tile bytes"]:
    """Eight pixels to a byte, as `np.packbits` has them."""
    powers = 2.0 ** torch.arange(7, -1, -1, device=above.device)
    return (above.unflatten(-1, (-1, 8)) @ powers.to(above.dtype)).byte()


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
    mask, row, column = places[unsure[which]].T
    at = (row * TILE + y, column * TILE + x)
    inside = (at[0] < axes[0].length) & (at[1] < axes[1].length)
    tile, y, x = unsure[which][inside], y[inside], x[inside]
    logits = exact_logits(low_res_logits, axes, mask[inside], at[0][inside], at[1][inside])
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

    Pixels beyond the crop lie on the floor. Products are done in fp64 where those in fp32 may round
    to fewer bits (TF32, bf16).
    """
    rows, columns = axes
    mask, row, column = places.T
    i = rows.first[row][:, None] + torch.arange(rows.support, device=row.device)
    j = columns.first[column][:, None] + torch.arange(columns.support, device=row.device)
    patches = low_res_logits[mask[:, None, None], i[:, :, None], j[:, None, :]] - floor
    rounding = ROUNDING * patches.abs().amax((1, 2))
    dtype = torch.float32 if products_are_fp32() else torch.float64
    down, across = rows.weights[row].to(dtype), columns.weights[column].to(dtype)
    return (down @ patches.to(dtype)) @ across.mT, rounding


def products_are_fp32() -> bool:
    """Whether matrix products of fp32 round as fp32 does."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # it was set for a backend alone, to something else
        return False
