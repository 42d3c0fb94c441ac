"""The grid of points and the overlapping crops of the fully automatic phase (SAM, App. B)."""

import math
from itertools import product

import numpy as np
from jaxtyping import Float


def build_point_grid(points_per_side: int) -> Float[np.ndarray, "N 2"]:
    """The centres of a square grid of cells over the unit square, as (x, y), row by row."""
    offset = 1 / (2 * points_per_side)
    centres = np.linspace(offset, 1 - offset, points_per_side)
    x, y = np.meshgrid(centres, centres)
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def build_layer_grids(
    points_per_side: int, crop_n_layers: int, downscale_factor: int
) -> list[Float[np.ndarray, "_ 2"]]:
    """One grid per crop layer, each `downscale_factor` times sparser than the one before.

    The first is that of the whole image.
    """
    sides = [int(points_per_side / downscale_factor**layer) for layer in range(crop_n_layers + 1)]
    if min(sides) < 1:
        raise ValueError(
            f"The grids of {crop_n_layers} crop layers have {sides} points per side: raise "
            f"points_per_side={points_per_side} or lower "
            f"crop_n_points_downscale_factor={downscale_factor} so that each has at least one."
        )
    return [build_point_grid(side) for side in sides]


def layer_crops(
    size: tuple[int, int], crop_n_layers: int, overlap_ratio: float
) -> list[tuple[int, tuple[int, int, int, int]]]:
    """The crops of every layer with their layer number, as XYXY boxes; layer 0 is the whole image.

    Layer i has 2^i crops a side, column by column. They overlap by `overlap_ratio` of the short
    side in layer 1, half of that in layer 2 and so on.
    """
    height, width = size
    crops = [(0, (0, 0, width, height))]
    for layer in range(1, crop_n_layers + 1):
        per_side = 2**layer
        overlap = int(overlap_ratio * min(size) * (2 / per_side))
        crop_width = _crop_length(width, per_side, overlap)
        crop_height = _crop_length(height, per_side, overlap)
        for column, row in product(range(per_side), repeat=2):
            x, y = column * (crop_width - overlap), row * (crop_height - overlap)
            box = (x, y, min(x + crop_width, width), min(y + crop_height, height))
            if x < width and y < height:  # an image of few pixels has not as many crops
                crops.append((layer, box))
    return crops


def _crop_length(length: int, crops_per_side: int, overlap: int) -> int:
    return math.ceil((overlap * (crops_per_side - 1) + length) / crops_per_side)


def tile_boxes(
    size: tuple[int, int], tile_size: int, overlap: int
) -> list[tuple[int, int, int, int]]:
    """As few tiles of one size as cover an image of (H, W), row by row, as XYXY boxes.

    They overlap by at least `overlap` pixels.
    """
    rows, columns = (_tile_spans(length, tile_size, overlap) for length in size)
    return [(x0, y0, x1, y1) for (y0, y1), (x0, x1) in product(rows, columns)]


def _tile_spans(length: int, tile_size: int, overlap: int) -> list[tuple[int, int]]:
    count = max(1, math.ceil((length - overlap) / (tile_size - overlap)))
    last = max(0, length - tile_size)
    starts = [round(i * last / max(1, count - 1)) for i in range(count)]
    return [(start, min(start + tile_size, length)) for start in starts]


def chosen_grids(
    points_per_side: int | None,
    point_grids: list[np.ndarray] | None,
    crop_n_layers: int,
    downscale_factor: int,
) -> list[Float[np.ndarray, "_ 2"]]:
    """The grids that were given, or those of `points_per_side`."""
    if (points_per_side is None) == (point_grids is None):
        raise ValueError("Give exactly one of points_per_side and point_grids.")
    if points_per_side is not None:
        point_grids = build_layer_grids(points_per_side, crop_n_layers, downscale_factor)
    check_point_grids(point_grids, crop_n_layers)
    return point_grids


def check_point_grids(point_grids: list[np.ndarray], crop_n_layers: int) -> None:
    """Raises ValueError unless every layer has points (P, 2) in the unit square."""
    if len(point_grids) <= crop_n_layers:
        raise ValueError(
            f"crop_n_layers={crop_n_layers} needs {crop_n_layers + 1} point_grids, "
            f"not {len(point_grids)}: one for the whole image and one for each layer."
        )
    for grid in point_grids:
        if grid.ndim != 2 or grid.shape[1] != 2 or len(grid) == 0:
            raise ValueError(f"A point grid must have shape (P, 2), not {grid.shape}.")
        if not (grid.min() >= 0 and grid.max() <= 1):  # nor NaN
            raise ValueError(
                f"A point grid must lie in [0, 1], not in [{grid.min()}, {grid.max()}]: "
                "divide its points by the size of the image."
            )
