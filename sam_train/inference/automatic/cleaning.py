"""Candidates without their small regions, each cleaned in the box of its mask."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool

from sam_train.data.rle import encode_window, sample_rle
from sam_train.data.run_edges import foreground_box
from sam_train.inference.automatic.candidates import Box, Candidate, after_box_nms
from sam_train.inference.automatic.small_regions import clean_window, cleaning_window


def cleaned_candidate(
    candidate: Candidate, size: tuple[int, int], min_area: int
) -> tuple[Candidate, bool, int]:
    """A candidate whose holes are filled and whose islands are removed below `min_area` pixels.

    Beside it, whether it had any, and the area of its largest part. The predicted IoU and the
    stability stay those of the mask before, as in SA-1B.
    """
    rle = candidate.rle(size)
    left, top, right, bottom = candidate.box
    box = (left, top, right + 1, bottom + 1) if candidate.area else (0, 0, 0, 0)
    rows, columns = cleaning_window(box, size, min_area)
    window = sample_rle(
        rle, np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
    )
    corner = (columns.start, rows.start)
    cleaned = clean_window(window, corner=corner, size=size, min_area=min_area)
    if not cleaned.changed:
        return replace(candidate, mask=rle), False, cleaned.largest

    mask, box = _tight(cleaned.mask, corner)
    rle = encode_window(mask, corner=box[:2], size=size)
    area = int(np.count_nonzero(mask))
    return replace(candidate, mask=rle, box=box, area=area), True, cleaned.largest


def cleaned_candidates(
    candidates: list[Candidate],
    size: tuple[int, int],
    *,
    min_area: int,
    drop_small: bool,
    nms_thresh: float,
) -> list[Candidate]:
    """Cleans every mask; among new duplicates the masks that needed no cleaning stay.

    With `drop_small`, masks whose largest part is smaller than `min_area` are dropped.
    """
    cleaned, untouched = [], []
    for candidate in candidates:
        candidate, changed, largest = cleaned_candidate(candidate, size, min_area)
        if not drop_small or largest >= min_area:
            cleaned.append(candidate)
            untouched.append(float(not changed))
    return after_box_nms(cleaned, torch.tensor(untouched), nms_thresh)


def _tight(
    window: Bool[np.ndarray, "h w"], corner: tuple[int, int]
) -> tuple[Bool[np.ndarray, "_ _"], Box]:
    """The window cut to its foreground, and the inclusive XYXY box of that; zeros if empty."""
    left, top, right, bottom = foreground_box(window)
    mask = window[top:bottom, left:right]
    if not mask.size:
        return mask, (0, 0, 0, 0)
    x, y = corner
    return mask, (x + left, y + top, x + right - 1, y + bottom - 1)
