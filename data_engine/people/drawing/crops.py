"""The parts of an image that are encoded on their own when somebody zooms in on small objects.

They are halves, quarters, ... of its sides, every half of their own length: few enough to be kept,
and whatever is in view lies in one that is at most four times as long.
"""

from collections.abc import Sequence

Crop = tuple[int, int, int, int]  # XYXY, image pixels

MIN_SIDE = 96  # image pixels: fewer show no more than the image does
MAX_HALVINGS = 5


def covering(view: Sequence[int | float], size: tuple[int, int]) -> Crop | None:
    """The smallest part that holds the view (XYXY); None: the whole image, of `size` (H, W)."""
    x0, y0, x1, y1 = view
    height, width = size
    for halvings in range(MAX_HALVINGS, 0, -1):
        if max(size) >> halvings < MIN_SIDE:
            continue
        columns, rows = _span(x0, x1, width, halvings), _span(y0, y1, height, halvings)
        if columns and rows:
            return columns[0], rows[0], columns[1], rows[1]
    return None


def _span(
    start: int | float, stop: int | float, length: int, halvings: int
) -> tuple[int, int] | None:
    """The part of one axis in whose middle a stretch of it lies best, if any part holds it."""
    step = length / 2 ** (halvings + 1)
    first = int(start / step)
    near = range(max(first - 1, 0), min(first + 2, 2 ** (halvings + 1) - 1))
    parts = [(round(number * step), round((number + 2) * step)) for number in near]
    holding = [(low, high) for low, high in parts if low <= start and stop <= high]
    return min(holding, key=lambda part: abs(sum(part) - start - stop), default=None)
