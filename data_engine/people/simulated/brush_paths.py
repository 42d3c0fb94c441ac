"""Where a brush must go to mend a mask: the strokes themselves, not only their length."""

import cv2
import numpy as np
from jaxtyping import Bool

MAX_COORDS = 10_000  # of one stroke

Path = list[float]  # x, y, x, y, ...


def brush_paths(wrong: Bool[np.ndarray, "H W"], allowed: Bool[np.ndarray, "H W"]) -> list[Path]:
    """Strokes, one pixel wide, that cover all `wrong` pixels and touch only `allowed` ones.

    They go row by row, back and forth, and are lifted where the way to the next pixels is not
    allowed. All wrong pixels must be allowed.
    """
    canvas, paths = np.zeros(wrong.shape, np.uint8), list[Path]()
    for y, first, last in runs_in_rows(wrong):
        if paths and len(paths[-1]) < MAX_COORDS:
            x0, y0 = paths[-1][-2:]
            ends = sorted((first, last), key=lambda x: abs(x - x0))
            if is_free((x0, y0), (ends[0], y), allowed, canvas):
                paths[-1] += [ends[0], y, ends[1], y]
                continue
        paths.append([first, y, last, y])
    return paths


def runs_in_rows(mask: Bool[np.ndarray, "H W"]) -> list[tuple[float, float, float]]:
    """The row, the first and the last column of each run of pixels."""
    edges = np.diff(mask.astype(np.int8), axis=1, prepend=0, append=0)
    rows, starts = np.nonzero(edges == 1)
    _, stops = np.nonzero(edges == -1)
    return [
        (float(y), float(first), float(stop - 1))
        for y, first, stop in zip(rows, starts, stops, strict=True)
    ]


def is_free(
    start: tuple[float, float],
    end: tuple[float, float],
    allowed: Bool[np.ndarray, "H W"],
    canvas: np.ndarray,
) -> bool:
    """Whether a straight stroke stays on allowed pixels; `canvas` holds zeros, also afterwards."""
    (x0, y0), (x1, y1) = ((int(x), int(y)) for x, y in (start, end))
    window = np.s_[min(y0, y1) : max(y0, y1) + 1, min(x0, x1) : max(x0, x1) + 1]
    cv2.polylines(canvas, np.array([[[x0, y0], [x1, y1]]], np.int32), False, 1, 1)
    free = bool(allowed[window][canvas[window] > 0].all())
    canvas[window] = 0
    return free
