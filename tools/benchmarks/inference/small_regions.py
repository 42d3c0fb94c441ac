"""Holes filled and islands removed below 100 pixels, in masks of 1500 x 2250 pixels.

Equal means the same masks and the same word on whether there was anything to remove. The masks
are drawn and then sprinkled with specks and pinholes. The peer is segment-anything's
`remove_small_regions`, for holes and then for islands. In the second row both start from run
lengths and end in them, as automatic mask generation does.
"""

import numpy as np
from jaxtyping import Bool
from segment_anything.utils import amg

from sam_train.data.rle import Rle, encode_mask, rle_box, rle_runs
from sam_train.inference.automatic.candidates import Candidate
from sam_train.inference.automatic.cleaning import cleaned_candidate
from sam_train.inference.automatic.small_regions import remove_small_regions
from tools.benchmarks.comparison import Comparison
from tools.benchmarks.drawing.drawn_photo import SIZE, draw_photo

MASKS, MIN_AREA, SPECKS = 24, 100, 12


def compare() -> list[Comparison]:
    """On masks in their full size, and on run lengths."""
    rng = np.random.default_rng(0)
    masks = [sprinkled(mask, rng) for mask in draw_photo(MASKS)[1]]
    candidates = [candidate(encode_mask(mask)) for mask in masks]
    runs = [{"size": [*SIZE], "counts": rle_runs(c.rle(SIZE)).tolist()} for c in candidates]

    def ours() -> list[tuple[np.ndarray, bool]]:
        return [remove_small_regions(mask, MIN_AREA) for mask in masks]

    def official() -> list[tuple[np.ndarray, bool]]:
        return [cleaned_by_segment_anything(mask) for mask in masks]

    def ours_on_runs() -> list[str]:
        return [cleaned_candidate(c, SIZE, MIN_AREA)[0].rle(SIZE)["counts"] for c in candidates]

    def official_on_runs() -> list[str]:
        cleaned = [cleaned_by_segment_anything(amg.rle_to_mask(rle))[0] for rle in runs]
        return [encode_mask(mask)["counts"] for mask in cleaned]

    same = all(
        np.array_equal(a, b) and x == y for (a, x), (b, y) in zip(ours(), official(), strict=True)
    )
    return [
        Comparison("small_regions", "segment-anything", ours, official,
                   equal=same, n=MASKS, target=10.0),
        Comparison("small_regions, run lengths", "segment-anything", ours_on_runs,
                   official_on_runs, equal=ours_on_runs() == official_on_runs(), n=MASKS),
    ]  # fmt: skip


def cleaned_by_segment_anything(mask: Bool[np.ndarray, "H W"]) -> tuple[np.ndarray, bool]:
    filled, had_holes = amg.remove_small_regions(mask, MIN_AREA, "holes")
    cleaned, had_islands = amg.remove_small_regions(filled, MIN_AREA, "islands")
    return cleaned, had_holes or had_islands


def candidate(rle: Rle) -> Candidate:
    """A mask as the generator has it before it is cleaned."""
    left, top, right, bottom = rle_box(rle).astype(int).tolist()
    box = (left, top, right - 1, bottom - 1)
    return Candidate(rle, 1, box, 1.0, 1.0, points=((0.0, 0.0),), crop_box=(0, 0, *SIZE[::-1]))


def sprinkled(mask: Bool[np.ndarray, "H W"], rng: np.random.Generator) -> Bool[np.ndarray, "H W"]:
    """The mask with specks around its edge and pinholes inside."""
    mask = mask.copy()
    rows, columns = np.nonzero(mask)
    for index in rng.integers(len(rows), size=SPECKS):
        y, x = rows[index] + rng.integers(-9, 10), columns[index] + rng.integers(-9, 10)
        side = rng.integers(1, 8)
        patch = mask[max(y, 0) : y + side, max(x, 0) : x + side]
        patch ^= True
    return mask
