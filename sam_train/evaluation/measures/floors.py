"""What a prompt is worth without looking at the image: the numbers that a model must beat."""

import math
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool

from sam_train.data.store.manifest import Dataset

# Of drawn scenes: mean sqrt(area / pi) of the masks, as a share of the longest side.
DISC_RADIUS = 0.09


def floor_ious(
    gt_mask: Bool[np.ndarray, "H W"], click: tuple[float, float], *, disc_radius: float
) -> dict[str, float]:
    """IoU of a disc at the click, of the filled box and of the ellipse in the box.

    `click` is (x, y) in pixels of the mask; `disc_radius` a share of the longest side.
    Pixels belong to a shape if their centre does; the disc ends at the image's border.
    """
    box = _bounding_box(gt_mask)
    radius = disc_radius * max(gt_mask.shape)
    area = int(gt_mask[_window(box)].sum())
    disc = _ellipse_iou(gt_mask, area, (*click, radius, radius))

    x0, y0, x1, y1 = box
    half_width, half_height = (x1 - x0) / 2, (y1 - y0) / 2
    centre = (x0 + half_width - 0.5, y0 + half_height - 0.5)
    return {
        "disc": disc,
        "box": area / ((x1 - x0) * (y1 - y0)),
        "ellipse": _ellipse_iou(gt_mask, area, (*centre, half_width, half_height)),
    }


def training_radius(root: Path, version: int | Literal["latest"] = "latest") -> float:
    """Mean radius sqrt(area / pi) of a dataset's masks, as a share of the longest side."""
    dataset = Dataset(root)
    radii = []
    for entry in dataset.read(version).shards:
        for sample in dataset.samples(entry):
            image = sample.record["image"]
            side = max(image["height"], image["width"])
            areas = [annotation["area"] for annotation in sample.record["annotations"]]
            radii += [math.sqrt(area / math.pi) / side for area in areas]
    if not radii:
        raise ValueError(f"{root} holds no mask to take the disc's radius from; give disc_radius")
    return sum(radii) / len(radii)


def _ellipse_iou(
    gt_mask: Bool[np.ndarray, "H W"], area: int, ellipse: tuple[float, float, float, float]
) -> float:
    """IoU with the ellipse (centre x, centre y, half width, half height), in its window only."""
    cx, cy, rx, ry = ellipse
    height, width = gt_mask.shape
    x0, x1 = max(0, math.floor(cx - rx)), min(width, math.ceil(cx + rx) + 1)
    y0, y1 = max(0, math.floor(cy - ry)), min(height, math.ceil(cy + ry) + 1)
    y, x = np.arange(y0, y1)[:, None], np.arange(x0, x1)
    shape = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1

    intersection = int((shape & gt_mask[y0:y1, x0:x1]).sum())
    return intersection / (int(shape.sum()) + area - intersection)


def _bounding_box(mask: Bool[np.ndarray, "H W"]) -> tuple[int, int, int, int]:
    """XYXY with exclusive ends."""
    (columns,), (rows,) = np.nonzero(mask.any(0)), np.nonzero(mask.any(1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _window(box: tuple[int, int, int, int]) -> tuple[slice, slice]:
    x0, y0, x1, y1 = box
    return slice(y0, y1), slice(x0, x1)
