"""Masks as one map of labels, as most tools for maps and for cells want them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from sam_train.data.rle import Rle, rle_area, rle_box, sample_rle


def label_map(rles: Sequence[Rle], size: tuple[int, int]) -> Int[np.ndarray, "H W"]:
    """Every pixel's mask, counted from 1, and 0 where there is none; smaller masks lie on top."""
    labels = np.zeros(size, np.int32)
    areas = [rle_area(rle) for rle in rles]
    for index in sorted(range(len(rles)), key=lambda index: -areas[index]):
        left, top, right, bottom = rle_box(rles[index]).astype(int).tolist()
        mask = sample_rle(rles[index], np.arange(top, bottom), np.arange(left, right))
        labels[top:bottom, left:right][mask] = index + 1
    return labels
