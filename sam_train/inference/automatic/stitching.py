"""Masks that tiles have cut, put together where two tiles overlap and agree."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float, Int
from pycocotools import mask as coco

from sam_train.data.rle import Rle, rle_area, rle_box, sample_rles
from sam_train.inference.automatic.candidates import Box, Candidate
from sam_train.inference.mask_filters import EDGE_TOLERANCE

# Two masks go on in each other if they overlap so much where their tiles do.
SAME_IOU = 0.5
# So much of the line on which a tile cuts a mask must have the mask on its other side too.
CONTINUED_SHARE = 0.75


def stitch(tiles: Sequence[list[Candidate]], size: tuple[int, int]) -> list[Candidate]:
    """The masks of all tiles of an image of `size` (H, W), whole where tiles have cut them.

    A mask that its tile cuts, and the mask of the next tile that it agrees with best in what
    both tiles see, become one if they are each other's best, and what they are together goes on
    beyond each line on which a tile cuts one of them. Else, and of masks that find no other, only
    those that no tile cuts are kept, as at the edges of crops.
    """
    candidates = [candidate for tile in tiles for candidate in tile]
    if not candidates:
        return []
    starts = np.cumsum([0, *map(len, tiles)]).tolist()
    cut = [is_cut for tile in tiles for is_cut in _cut_by_tile(tile, size)]
    group = list(range(len(candidates)))
    for first, second in combinations(range(len(tiles)), 2):
        for i, j in _continued(tiles[first], tiles[second], size):
            a, b = starts[first] + i, starts[second] + j
            if cut[a] or cut[b]:
                old, new = group[b], group[a]
                group = [new if g == old else g for g in group]

    members: dict[int, list[int]] = {}
    for index, number in enumerate(group):
        members.setdefault(number, []).append(index)
    stitched: list[Candidate] = []
    for indices in members.values():
        parts = [candidates[i] for i in indices]
        joined = _joined(parts, size) if len(parts) > 1 else None
        if joined and all(_goes_on(joined, part, parts, size) for part in parts):
            stitched.append(joined)
        else:
            stitched += [candidates[i] for i in indices if not cut[i]]
    return stitched


def _cut_by_tile(tile: list[Candidate], size: tuple[int, int]) -> list[bool]:
    """Which masks come near an edge of their tile behind which the image goes on.

    However little of it there is: crops let masks end where the image nearly ends.
    """
    if not tile:
        return []
    boxes, edges = np.array([mask.box for mask in tile]), np.array(tile[0].crop_box)
    height, width = size
    is_near = np.abs(boxes - edges) <= EDGE_TOLERANCE
    return (is_near & (edges != [0, 0, width, height])).any(1).tolist()


def _continued(
    first: list[Candidate], second: list[Candidate], size: tuple[int, int]
) -> list[tuple[int, int]]:
    """Which masks of two tiles are each other's best match in what both tiles see."""
    if not first or not second:
        return []
    shared = _intersection(first[0].crop_box, second[0].crop_box)
    if shared is None:
        return []
    pair = first, second
    seen = [
        [i for i, m in enumerate(tile) if _intersection(_outer(m.box), shared)] for tile in pair
    ]
    if not all(seen):
        return []
    parts = ([tile[i].rle(size) for i in which] for tile, which in zip(pair, seen, strict=True))
    overlap = _overlap_within(*parts, box=shared)
    matches = enumerate(overlap.argmax(1).tolist())
    return [
        (seen[0][i], seen[1][j])
        for i, j in matches
        if overlap[:, j].argmax() == i and overlap[i, j] >= SAME_IOU
    ]


def _outer(box: Box) -> Box:
    """A mask's box, which names its last pixels, as one that ends behind them."""
    return box[0], box[1], box[2] + 1, box[3] + 1


def _intersection(a: Box, b: Box) -> Box | None:
    """What two XYXY boxes share."""
    x0, y0, x1, y1 = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _overlap_within(a: list[Rle], b: list[Rle], *, box: Box) -> Float[np.ndarray, "A B"]:
    """The IoU of every mask of `a` with every mask of `b` inside an XYXY box."""
    rows, columns = np.arange(box[1], box[3]), np.arange(box[0], box[2])
    masks, others = (
        sample_rles(rles, rows, columns).reshape(len(rles), -1).astype(np.float32)
        for rles in (a, b)
    )
    both = masks @ others.T
    either = masks.sum(1)[:, None] + others.sum(1) - both
    return both / np.maximum(either, 1)


def _goes_on(
    joined: Candidate, part: Candidate, parts: Sequence[Candidate], size: tuple[int, int]
) -> bool:
    """Whether a mask does not end in a straight line where the tile of its part does.

    It may, where other parts, whose tiles see what lies beyond the line, end there too.
    """
    x0, y0, x1, y1 = part.crop_box
    height, width = size
    across, down = np.arange(x0, x1), np.arange(y0, y1)
    lines = [
        (down, np.array([x0, x0 - 1]), x0 > 0),
        (down, np.array([x1 - 1, x1]), x1 < width),
        (np.array([y0, y0 - 1]), across, y0 > 0),
        (np.array([y1 - 1, y1]), across, y1 < height),
    ]
    own, whole = part.rle(size), joined.rle(size)
    for rows, columns, is_within_image in lines:
        if not is_within_image:
            continue
        axis = 0 if len(rows) == 2 else 1
        inside = sample_rles([own], rows, columns)[0].take(0, axis)
        known = sample_rles([whole], rows, columns)[0].take(1, axis)
        needed = CONTINUED_SHARE * inside.sum()
        if (inside & known).sum() >= needed:
            continue
        for other in parts:
            if _sees(other.crop_box, rows if axis == 0 else columns, axis):
                known = known | sample_rles([other.rle(size)], rows, columns)[0].take(0, axis)
        if (inside & known).sum() < needed:
            return False
    return True


def _sees(tile: Box, line: Int[np.ndarray, "2"], axis: int) -> bool:
    """Whether both sides of a line of the image lie in a tile."""
    first, stop = (tile[1], tile[3]) if axis == 0 else (tile[0], tile[2])
    return bool(first <= line.min() and line.max() < stop)


def _joined(parts: list[Candidate], size: tuple[int, int]) -> Candidate:
    """The union of masks; its scores are the means of theirs, by area."""
    merged = coco.merge([part.rle(size) for part in parts])
    rle: Rle = {"size": list(size), "counts": merged["counts"].decode()}
    left, top, right, bottom = rle_box(rle).astype(int).tolist()
    areas = [part.area for part in parts]
    crops = np.array([part.crop_box for part in parts])
    return Candidate(
        mask=rle,
        area=rle_area(rle),
        box=(left, top, right - 1, bottom - 1),
        predicted_iou=float(np.average([part.predicted_iou for part in parts], weights=areas)),
        stability_score=float(np.average([part.stability_score for part in parts], weights=areas)),
        points=tuple(point for part in parts for point in part.points),
        crop_box=(*crops[:, :2].min(0).tolist(), *crops[:, 2:].max(0).tolist()),
    )
