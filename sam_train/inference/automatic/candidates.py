"""Masks on their way through the filters, and what they are in the end."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sam_train.data.label_map import label_map
from sam_train.data.rle import Rle, decode_rle, encode_window, rle_runs
from sam_train.inference.automatic.outline_tiles import MaskTiles
from sam_train.inference.mask_filters import suppress_duplicates

Box = tuple[int, int, int, int]  # XYXY
Point = tuple[float, float]
OUTPUT_MODES = ("binary_mask", "uncompressed_rle", "coco_rle")

# A mask waits for NMS, which most do not outlive, as tiles; where the outline's take more bytes
# than this (256 tiles), as run lengths, so that memory stays bounded.
MAX_OUTLINE_BYTES = 2**17


@dataclass(frozen=True)
class Candidate:
    """One mask in the frame of the original image. The box is inclusive, as SAM's are.

    It has more than one point, and the crop box around all of theirs, if it was put together.
    """

    mask: MaskTiles | Rle
    area: int
    box: Box
    predicted_iou: float
    stability_score: float
    points: tuple[Point, ...]
    crop_box: Box

    def rle(self, size: tuple[int, int]) -> Rle:
        """The run lengths in an image of `size` (H, W)."""
        if isinstance(self.mask, MaskTiles):
            (x, y), (x0, y0, *_) = self.mask.corner, self.crop_box
            return encode_window(self.mask.window(), corner=(x0 + x, y0 + y), size=size)
        return self.mask

    def within_memory(self, size: tuple[int, int]) -> "Candidate":
        """The same candidate, as run lengths where its outline is long."""
        if isinstance(self.mask, MaskTiles) and self.mask.bits.nbytes > MAX_OUTLINE_BYTES:
            return replace(self, mask=self.rle(size))
        return self


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
