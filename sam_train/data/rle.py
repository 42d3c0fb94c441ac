"""Masks as COCO's compressed run lengths, worked on without painting them where that will do.

Runs go down the columns and start with background (column-major, as in SA-1B).
"""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Bool, Float, Int
from pycocotools import mask as coco


class Rle(TypedDict):
    """COCO's compressed run lengths: size is [height, width], counts its six-bit string."""

    size: list[int]
    counts: str


def rle_runs(rle: Rle) -> Int[np.ndarray, " R"]:
    """The run lengths behind the counts: background, foreground, background, ...

    Raises ValueError unless they are whole, not negative and sum to the mask's pixels.
    """
    height, width = rle["size"]
    counts = rle["counts"]
    if not isinstance(counts, str):
        raise ValueError(f"RLE counts must be a string, not {type(counts).__name__}.")
    runs = _decompress(counts)
    if (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(
            f"The runs of an RLE must sum to {height} x {width} pixels, these are broken: "
            f"{counts[:40]!r}."
        )
    return runs


def _decompress(counts: str) -> Int[np.ndarray, " R"]:
    """COCO's string: six bits a character, five of number and one "more follows".

    From the fourth number on, each is the difference to the number two places before.
    """
    codes = np.frombuffer(counts.encode(), np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError(f"Not a compressed RLE: {counts[:40]!r}.")

    last = np.flatnonzero(codes & 32 == 0)  # the last character of each number
    first = np.concatenate([[0], last[:-1] + 1])
    if (last - first).max() > 7:
        raise ValueError(f"A run of this RLE is too long for any image: {counts[:40]!r}.")
    shifts = 5 * (np.arange(len(codes)) - np.repeat(first, last - first + 1))
    numbers = np.add.reduceat((codes & 31) << shifts, first)
    numbers -= np.where(codes[last] & 16, 32 << shifts[last], 0)  # the sign

    numbers[1::2] = numbers[1::2].cumsum()
    numbers[2::2] = numbers[2::2].cumsum()
    return numbers


def encode_mask(mask: Bool[np.ndarray, "H W"]) -> Rle:
    """Encodes a mask, looking for runs only inside the mask's box."""
    height, width = mask.shape
    edges = _run_edges(mask)
    runs = np.diff(edges, prepend=0, append=height * width)
    if len(edges) and runs[-1] == 0:  # the mask ends in foreground
        runs = runs[:-1]
    size = [height, width]
    compressed = coco.frPyObjects({"size": size, "counts": runs.tolist()}, height, width)
    return {"size": size, "counts": compressed["counts"].decode()}


def _run_edges(mask: Bool[np.ndarray, "H W"]) -> Int[np.ndarray, " E"]:
    """Column-major positions at which foreground starts, ends, starts, ..."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.zeros(0, np.int64)
    top, left = rows[0], columns[0]
    crop = mask[top : rows[-1] + 1, left : columns[-1] + 1].T  # (columns, rows)

    # A row of background on both ends makes every run start and end inside its column.
    padded = np.zeros((crop.shape[0], crop.shape[1] + 2), bool)
    padded[:, 1:-1] = crop
    column, row = np.nonzero(padded[:, 1:] != padded[:, :-1])
    edges = (column + left) * len(mask) + row + top

    # Where one run ends at the foot of a column and the next starts at the head of the next.
    joints = np.flatnonzero(edges[1:-1:2] == edges[2::2]) * 2 + 1
    return np.delete(edges, np.concatenate([joints, joints + 1]))


def decode_rle(rle: Rle) -> Bool[np.ndarray, "H W"]:
    """Paints the mask at its own size."""
    height, width = rle["size"]
    runs = rle_runs(rle)
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def rle_area(rle: Rle) -> int:
    """Number of foreground pixels."""
    return int(rle_runs(rle)[1::2].sum())


def rle_box(rle: Rle) -> Float[np.ndarray, " 4"]:
    """The XYXY box around the foreground, ends exclusive; zeros for an empty mask."""
    rle_runs(rle)  # pycocotools does not check
    x, y, width, height = coco.toBbox(rle)
    return np.array([x, y, x + width, y + height], np.float64)


def rle_iou(a: Sequence[Rle], b: Sequence[Rle]) -> Float[np.ndarray, "A B"]:
    """The overlap of every mask of `a` with every mask of `b`; all must have one size."""
    sizes = {tuple(rle["size"]) for rle in (*a, *b)}
    if len(sizes) > 1:
        raise ValueError(f"Masks of different sizes cannot be compared: {sorted(sizes)}.")
    if not a or not b:
        return np.zeros((len(a), len(b)))
    return coco.iou(list(a), list(b), [0] * len(b))


def resize_rle(rle: Rle, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Nearest-neighbour resize at cell centres: source row = floor((i + 0.5) * H / h)."""
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for new, old in zip(size, rle["size"], strict=True)
    )
    return sample_rle(rle, rows, columns)


def sample_rle(
    rle: Rle, rows: Int[np.ndarray, " h"], columns: Int[np.ndarray, " w"]
) -> Bool[np.ndarray, "h w"]:
    """`mask[rows][:, columns]` straight from the runs; rows must not descend, columns may.

    The cost follows the runs and the grid that is asked for, not the size of the mask.
    """
    height = rle["size"][0]
    wanted, place = np.unique(columns, return_inverse=True)

    # How many of the wanted pixels lie before each end of a run, in column-major order.
    runs = rle_runs(rle)
    column, row = np.divmod(runs.cumsum(), height)
    whole_columns = np.searchsorted(wanted, column)
    in_wanted = np.append(wanted, -1)[whole_columns] == column
    before = whole_columns * len(rows) + in_wanted * np.searchsorted(rows, row)

    sampled = np.repeat(np.arange(len(runs)) % 2 == 1, np.diff(before, prepend=0))
    return sampled.reshape(len(wanted), len(rows))[place].T
