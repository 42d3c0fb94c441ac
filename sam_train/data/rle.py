"""Masks as COCO's compressed run lengths, worked on without painting them where that will do.

Runs go down the columns and start with background (column-major, as in SA-1B).
"""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Bool, Float, Int
from pycocotools import mask as coco

from sam_train.data.image_limits import MAX_PIXELS, MAX_SIDE
from sam_train.data.rle_string import read_runs
from sam_train.data.run_edges import foreground_box, run_edges


class Rle(TypedDict):
    """COCO's compressed run lengths: size is [height, width], counts its six-bit string."""

    size: list[int]
    counts: str


def rle_runs(rle: Rle) -> Int[np.ndarray, " R"]:
    """The run lengths behind the counts: background, foreground, background, ...

    Raises ValueError unless they are whole, not negative and sum to the mask's pixels.
    """
    return joined_runs([rle])[0]


def joined_runs(
    rles: Sequence[Rle],
) -> tuple[Int[np.ndarray, " R"], Int[np.ndarray, " N"]]:
    """The `rle_runs` of at least one mask in a row, and where those of each mask stop."""
    sizes = [_mask_size(rle) for rle in rles]
    for rle in rles:
        if not isinstance(rle["counts"], str):
            raise ValueError(f"RLE counts must be a string, not {type(rle['counts']).__name__}.")
    runs, stops = read_runs([rle["counts"] for rle in rles])

    starts = np.concatenate([[0], stops[:-1]])
    broken = np.add.reduceat(runs, starts) != [height * width for height, width in sizes]
    if runs.min() < 0 or runs.max() > MAX_PIXELS:  # such a sum may wrap around
        broken |= np.minimum.reduceat(runs, starts) < 0
        broken |= np.maximum.reduceat(runs, starts) > MAX_PIXELS
    if broken.any():
        (height, width), counts = sizes[broken.argmax()], rles[broken.argmax()]["counts"]
        raise ValueError(
            f"The runs of an RLE must sum to {height} x {width} pixels, these are broken: "
            f"{counts[:40]!r}."
        )
    return runs, stops


def _mask_size(rle: Rle) -> tuple[int, int]:
    """The (H, W) that an RLE names; ValueError for one that no mask has or that is too large."""
    match rle["size"]:
        case [int(height), int(width)] if (
            0 < min(height, width) <= max(height, width) <= MAX_SIDE
            and height * width <= MAX_PIXELS
        ):
            return height, width
    raise ValueError(
        f"The size of an RLE must be [height, width], at most {MAX_SIDE:,} a side and "
        f"{MAX_PIXELS:,} pixels, not {str(rle['size'])[:40]}."
    )


def encode_mask(
    mask: Bool[np.ndarray, "H W"], *, box: tuple[int, int, int, int] | None = None
) -> Rle:
    """Encodes a mask, looking for runs only inside its XYXY box.

    A `box` that is known saves the search for it. It may be too large, but all pixels outside
    are taken to be background; its ends are exclusive.
    """
    left, top, right, bottom = foreground_box(mask) if box is None else box
    return encode_window(mask[top:bottom, left:right], corner=(left, top), size=mask.shape)


def encode_window(
    window: Bool[np.ndarray, "h w"], *, corner: tuple[int, int], size: tuple[int, int]
) -> Rle:
    """Encodes a mask of `size` (H, W) whose foreground lies in a window of it.

    `corner` is the (x, y) of the window's upper left pixel.
    """
    height, width = size
    edges = run_edges(window, corner=corner, height=height)
    runs = np.diff(edges, prepend=0, append=height * width)
    if len(edges) and runs[-1] == 0:  # the mask ends in foreground
        runs = runs[:-1]
    uncompressed = {"size": [height, width], "counts": runs.astype(np.uint32)}
    return {
        "size": [height, width],
        "counts": coco.frPyObjects(uncompressed, height, width)["counts"].decode(),
    }


def decode_rle(rle: Rle) -> Bool[np.ndarray, "H W"]:
    """Paints the mask at its own size."""
    runs = rle_runs(rle)
    height, width = rle["size"]
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
    joined_runs([*a, *b])  # pycocotools does not check
    return coco.iou(list(a), list(b), [0] * len(b))


def resize_rle(rle: Rle, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Nearest-neighbour resize at cell centres: source row = floor((i + 0.5) * H / h)."""
    return resize_rles([rle], size)[0]


def resize_rles(rles: Sequence[Rle], size: tuple[int, int]) -> Bool[np.ndarray, "N h w"]:
    """`resize_rle` of masks of one size: faster than one by one."""
    if not rles:
        return np.zeros((0, *size), bool)
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for new, old in zip(size, _mask_size(rles[0]), strict=True)
    )
    return sample_rles(rles, rows, columns)


def sample_rle(
    rle: Rle, rows: Int[np.ndarray, " h"], columns: Int[np.ndarray, " w"]
) -> Bool[np.ndarray, "h w"]:
    """`mask[rows][:, columns]` straight from the runs; rows must not descend, columns may."""
    return sample_rles([rle], rows, columns)[0]


def sample_rles(
    rles: Sequence[Rle],
    rows: Int[np.ndarray, " h"],
    columns: Int[np.ndarray, " w"],
    *,
    out: Bool[np.ndarray, "N _ _"] | None = None,
) -> Bool[np.ndarray, "N _ _"]:
    """`sample_rle` of masks of one size: any crop, flip or resize of them.

    The cost follows the runs and the samples, not the masks' own size. `out`, which must hold no
    foreground, is painted from its upper left; it may be larger than the samples.
    """
    if out is None:
        out = np.zeros((len(rles), len(rows), len(columns)), bool)
    if not rles or not len(rows) or not len(columns):
        return out
    _check_one_size(rles)
    runs, stops = joined_runs(rles)
    wanted, place = np.unique(columns, return_inverse=True)
    before = _samples_before(runs, stops, rles[0]["size"], rows=rows, columns=wanted)
    lengths = np.diff(before, prepend=0)
    is_foreground = np.arange(len(runs)) % 2 == 1
    in_order = np.array_equal(wanted, columns)

    start = 0
    for canvas, stop in zip(out, stops.tolist(), strict=True):
        part = slice(start, stop)
        left, painted = _paint_columns(before[part], lengths[part], is_foreground, len(rows))
        if in_order:
            canvas[: len(rows), left : left + len(painted)] = painted.T
        else:
            ordered = np.zeros((len(wanted), len(rows)), bool)
            ordered[left : left + len(painted)] = painted
            canvas[: len(rows), : len(columns)] = ordered[place].T
        start = stop
    return out


def _check_one_size(rles: Sequence[Rle]) -> None:
    for rle in rles:
        if rle["size"] != rles[0]["size"]:
            raise ValueError(
                f"Masks of different sizes cannot be sampled at once: {rles[0]['size']} and "
                f"{rle['size']}."
            )


def _samples_before(
    runs: Int[np.ndarray, " R"],
    stops: Int[np.ndarray, " N"],
    size: Sequence[int],
    *,
    rows: Int[np.ndarray, " h"],
    columns: Int[np.ndarray, " w"],
) -> Int[np.ndarray, " R"]:
    """How many of a mask's samples lie before each end of a run, in column-major order.

    The runs are those of several masks in a row, `stops` where each mask's stop; tables by row
    and column serve all of them.
    """
    height, width = size
    rows_before = np.searchsorted(rows, np.arange(height))
    columns_before = np.searchsorted(columns, np.arange(width + 1))
    is_sampled = np.zeros(width + 1, np.int64)
    is_sampled[columns] = 1

    masks_before = np.repeat(np.arange(len(stops)), np.diff(stops, prepend=0))
    ends = runs.cumsum() - masks_before * (height * width)
    column = ends // height
    row = ends - column * height
    return columns_before[column] * len(rows) + is_sampled[column] * rows_before[row]


def _paint_columns(
    before: Int[np.ndarray, " R"],
    lengths: Int[np.ndarray, " R"],
    is_foreground: Bool[np.ndarray, " _"],
    height: int,
) -> tuple[int, Bool[np.ndarray, "w h"]]:
    """The columns of samples from the first to the last with foreground, and which is the first.

    Changes the first and the last of the `lengths` of the sampled runs, which then fill them.
    """
    foreground_end = len(before) // 2 * 2
    if not foreground_end:
        return 0, np.zeros((0, height), bool)
    left = int(before[0]) // height
    right = -(-int(before[foreground_end - 1]) // height)
    lengths[0] = before[0] - left * height
    if foreground_end < len(before):
        lengths[-1] = right * height - before[-2]
    painted = np.repeat(is_foreground[: len(lengths)], lengths)
    return left, painted.reshape(right - left, height)
