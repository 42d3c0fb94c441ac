"""64 masks of 1500 x 2250 pixels to the grid of 256, nearest neighbour at cell centres.

Equal means bit by bit. The peer decodes all masks by pycocotools and resizes them by torch
(`nearest-exact`). In the second row it lets go of each full mask before it decodes the next, which
saves it half of its time, that of new memory; a loader that keeps them, as sam2's, cannot.
"""

import numpy as np
import torch
from pycocotools import mask as coco
from torch.nn import functional as F

from sam_train.data.rle import encode_mask, resize_rles
from tools.benchmarks.comparison import Comparison
from tools.benchmarks.drawing.drawn_photo import SIZE, draw_photo

MASKS = 64
GRID = (round(256 * SIZE[0] / SIZE[1]), 256)


def compare() -> list[Comparison]:
    """Against decoding all masks at once, and one by one."""
    rles = [encode_mask(mask) for mask in draw_photo(MASKS)[1]]

    def ours() -> np.ndarray:
        return resize_rles(rles, GRID)

    def at_once() -> np.ndarray:
        return nearest(coco.decode(rles))

    def one_by_one() -> np.ndarray:
        return np.concatenate([nearest(coco.decode([rle])) for rle in rles])

    return [
        Comparison("rle_resize", "pycocotools + torch", ours, at_once,
                   equal=np.array_equal(ours(), at_once()), n=MASKS, target=80.0),
        Comparison("rle_resize", "the same, one by one", ours, one_by_one,
                   equal=np.array_equal(ours(), one_by_one()), n=MASKS),
    ]  # fmt: skip


def nearest(masks: np.ndarray) -> np.ndarray:
    """Masks (H, W, N) on the grid (N, h, w)."""
    tensor = torch.from_numpy(masks).permute(2, 0, 1)[:, None]
    return F.interpolate(tensor, GRID, mode="nearest-exact")[:, 0].numpy()
