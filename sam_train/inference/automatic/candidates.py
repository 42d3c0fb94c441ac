"""Masks on their way through the filters, and what they are in the end."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from sam_train.data.label_map import label_map
from sam_train.data.rle import Rle, decode_rle, encode_window, rle_runs
from sam_train.data.run_edges import foreground_box
from sam_train.inference.mask_filters import suppress_duplicates

Box = tuple[int, int, int, int]  # XYXY
Point = tuple[float, float]
OUTPUT_MODES = ("binary_mask", "uncompressed_rle", "coco_rle")

# A mask of more bits than these 64 KB waits for NMS as run lengths, so memory stays bounded.
MAX_PACKED = 2**16


@dataclass(frozen=True)
class PackedMask:
    """A mask that waits for NMS, which most do not outlive: its box, eight pixels to a byte."""

    corner: tuple[int, int]
    shape: tuple[int, int]
    bits: UInt8[np.ndarray, " bytes"]

    def unpack(self) -> Bool[np.ndarray, "h w"]:
        height, width = self.shape
        return np.unpackbits(self.bits, count=height * width).view(bool).reshape(height, width)


@dataclass(frozen=True)
class Candidate:
    """One mask in the frame of the original image. The box is inclusive, as SAM's are.

    It has more than one point, and the crop box around all of theirs, if it was put together.
    """

    mask: PackedMask | Rle
    area: int
    box: Box
    predicted_iou: float
    stability_score: float
    points: tuple[Point, ...]
    crop_box: Box

    def rle(self, size: tuple[int, int]) -> Rle:
        """The run lengths in an image of `size` (H, W)."""
        if isinstance(self.mask, PackedMask):
            return encode_window(self.mask.unpack(), corner=self.mask.corner, size=size)
        return self.mask


@dataclass(frozen=True)
class AutomaticMasks:
    """All masks of an image, and how many were left after each stage of the filters."""

    size: tuple[int, int]
    candidates: list[Candidate]
    counts: Counter[str] = field(default_factory=Counter)

    def records(self, output_mode: str) -> list[dict[str, Any]]:
        """One dict for each mask, as segment_anything writes them; boxes are XYWH."""
        return [
            {
                "segmentation": as_output(candidate.rle(self.size), output_mode),
                "area": candidate.area,
                "bbox": xywh(candidate.box),
                "predicted_iou": candidate.predicted_iou,
                "point_coords": [list(point) for point in candidate.points],
                "stability_score": candidate.stability_score,
                "crop_box": xywh(candidate.crop_box),
            }
            for candidate in self.candidates
        ]

    def label_map(self) -> Int[np.ndarray, "H W"]:
        """Every pixel's mask, counted from 1, and 0 where there is none.

        Where masks overlap, the smallest is on top, so parts are seen on their wholes.
        """
        return label_map([candidate.rle(self.size) for candidate in self.candidates], self.size)


def tight_mask(
    window: Bool[np.ndarray, "h w"], corner: tuple[int, int], *, if_empty: tuple[int, int]
) -> tuple[Bool[np.ndarray, "_ _"], Box]:
    """What the window at the (x, y) `corner` holds, and the inclusive box around it.

    The box of an empty mask is the point `if_empty`.
    """
    left, top, right, bottom = foreground_box(window)
    mask = window[top:bottom, left:right]
    if not mask.size:
        return mask, (*if_empty, *if_empty)
    x, y = corner
    return mask, (x + left, y + top, x + right - 1, y + bottom - 1)


def pack_mask(
    window: Bool[np.ndarray, "h w"], corner: tuple[int, int], size: tuple[int, int]
) -> PackedMask | Rle:
    """Holds a mask whose box in an image of `size` is at the (x, y) `corner`."""
    if window.size > 8 * MAX_PACKED:
        return encode_window(window, corner=corner, size=size)
    return PackedMask(corner, window.shape, np.packbits(window))


def after_box_nms(
    candidates: list[Candidate], scores: Float[Tensor, " N"], iou_threshold: float
) -> list[Candidate]:
    """What box NMS leaves, best score first."""
    boxes = torch.tensor([c.box for c in candidates], dtype=torch.int64).reshape(-1, 4)
    return [candidates[i] for i in suppress_duplicates(boxes, scores, iou_threshold)]


def as_output(rle: Rle, output_mode: str) -> Bool[np.ndarray, "H W"] | dict[str, Any] | Rle:
    if output_mode == "binary_mask":
        return decode_rle(rle)
    if output_mode == "uncompressed_rle":
        return {"size": rle["size"], "counts": rle_runs(rle).tolist()}
    return rle


def box_area(box: Box) -> int:
    x0, y0, x1, y1 = box
    return (x1 - x0) * (y1 - y0)


def xywh(box: Box) -> list[int]:
    x0, y0, x1, y1 = box
    return [x0, y0, x1 - x0, y1 - y0]
