"""Models that hardly look at the image, or not at all: the floor under every table."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from sam_train.evaluation.measures.floors import DISC_RADIUS
from sam_train.evaluation.models.segmenter import Answer, ImagePrompts
from sam_train.interaction.prompts import FOREGROUND, PADDING

Masks = Bool[Tensor, "N H W"]


class ShapeSegmenter:
    """A disc around every click on the object, less the discs around the others; a filled box.

    `disc_radius` is a share of the image's longest side. A box goes before clicks.
    """

    def __init__(self, disc_radius: float = DISC_RADIUS) -> None:
        self.disc_radius = disc_radius
        self.size = (0, 0)

    def set_image(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
        self.size = image.shape[:2]

    def answer(self, prompts: ImagePrompts, *, multimask_output: bool) -> Answer:
        height, width = self.size
        y, x = torch.arange(height)[:, None], torch.arange(width)
        if prompts.boxes is not None:
            x0, y0, x1, y1 = (side[:, None, None] for side in prompts.boxes.unbind(1))
            return certain((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))
        radius = self.disc_radius * max(self.size)
        masks = torch.zeros(len(prompts), height, width, dtype=torch.bool)
        for coords, labels in clicks_in_order(prompts):
            cx, cy = (side[:, None, None] for side in coords.unbind(1))
            disc = (x - cx) ** 2 + (y - cy) ** 2 <= radius**2
            masks = painted(masks, disc, labels)
        return certain(masks)

    def enlarge(self, low_res_logits: Float[Tensor, "N h w"]) -> Float[Tensor, "N H W"]:
        return low_res_logits


class SlicSegmenter:
    """The SLIC superpixels under the clicks, or those that lie for the most part in the box.

    Achanta et al. 2012, from scikit-image: clusters of colour and place, about `segments` of them.
    """

    def __init__(self, segments: int = 100, compactness: float = 10.0) -> None:
        self.segments = segments
        self.compactness = compactness
        self.labels = torch.zeros(0, 0, dtype=torch.int64)

    def set_image(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
        from skimage.segmentation import slic

        found = slic(image, self.segments, self.compactness, start_label=0)
        self.labels = torch.from_numpy(found.astype(np.int64))

    def answer(self, prompts: ImagePrompts, *, multimask_output: bool) -> Answer:
        if prompts.boxes is not None:
            return certain(torch.stack([self._inside(box) for box in prompts.boxes.tolist()]))
        masks = torch.zeros(len(prompts), *self.labels.shape, dtype=torch.bool)
        for coords, labels in clicks_in_order(prompts):
            x, y = coords.round().long().unbind(1)
            under = self.labels == self.labels[y, x][:, None, None]
            masks = painted(masks, under, labels)
        return certain(masks)

    def _inside(self, box: list[float]) -> Bool[Tensor, "H W"]:
        x0, y0, x1, y1 = (round(side) for side in box)
        total = self.labels.flatten().bincount()
        inside = self.labels[y0 : y1 + 1, x0 : x1 + 1].flatten().bincount(minlength=len(total))
        return (2 * inside > total)[self.labels]

    def enlarge(self, low_res_logits: Float[Tensor, "N h w"]) -> Float[Tensor, "N H W"]:
        return low_res_logits


def clicks_in_order(prompts: ImagePrompts) -> Any:
    """The coordinates (N, 2) and labels (N,) of the first click of each object, then the next."""
    return zip(prompts.point_coords.unbind(1), prompts.point_labels.unbind(1), strict=True)


def painted(masks: Masks, regions: Masks, labels: Tensor) -> Masks:
    """The masks with the regions added where clicked as foreground, removed as background."""
    label = labels[:, None, None]
    return torch.where(regions & (label != PADDING), label == FOREGROUND, masks)


def certain(masks: Masks) -> Answer:
    """Masks as a stable answer of one candidate, at full size, with a score that says nothing."""
    return Answer(masks[:, None].float() * 20 - 10, torch.full((len(masks), 1), 0.5))
