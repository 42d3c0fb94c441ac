"""The prompts that a decoder takes: ragged over objects, padded with label -1."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

PromptKind = Literal["point", "box"]
FOREGROUND, BACKGROUND, TOP_LEFT, BOTTOM_RIGHT, PADDING = 1, 0, 2, 3, -1


@dataclass(frozen=True)
class Prompts:
    """The prompts of N objects, which may belong to several images.

    Coordinates are (x, y) pixels of the input frame. A box is two points with the labels of
    its corners, so that objects with and without a box share one batch.
    """

    point_coords: Float[Tensor, "N P 2"]
    point_labels: Int[Tensor, "N P"]
    mask_inputs: Float[Tensor, "N 1 h w"] | None = None
    has_mask: Bool[Tensor, " N"] | None = None

    def __len__(self) -> int:
        return len(self.point_coords)

    def __getitem__(self, index: slice | Tensor) -> "Prompts":
        return self._each(lambda part: part[index])

    def to(self, device: torch.device) -> "Prompts":
        return self._each(lambda part: part.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Prompts":
        return Prompts(
            change(self.point_coords),
            change(self.point_labels),
            None if self.mask_inputs is None else change(self.mask_inputs),
            None if self.has_mask is None else change(self.has_mask),
        )

    def add_points(self, coords: Float[Tensor, "N 2"], labels: Int[Tensor, " N"]) -> "Prompts":
        """One more point for every object; label -1 adds none."""
        return replace(
            self,
            point_coords=torch.cat([self.point_coords, coords[:, None]], dim=1),
            point_labels=torch.cat([self.point_labels, labels[:, None]], dim=1),
        )

    def with_masks(self, low_res_logits: Float[Tensor, "N 1 h w"]) -> "Prompts":
        """The same prompts with the logits of the round before as mask prompts."""
        has_mask = torch.ones(len(self), dtype=torch.bool, device=low_res_logits.device)
        return replace(self, mask_inputs=low_res_logits, has_mask=has_mask)

    def candidates(
        self, ambiguous: Collection[PromptKind] = ("point", "box")
    ) -> Bool[Tensor, "N 4"]:
        """Which of the decoder's masks answer each prompt: token 0, or tokens 1 to 3.

        A single prompt is ambiguous and is answered by three masks, several prompts by one
        (SAM, App. A). Whether a lone box counts as ambiguous the paper leaves open.
        """
        is_corner = self.point_labels >= TOP_LEFT
        points = ((self.point_labels != PADDING) & ~is_corner).sum(1)
        has_box = is_corner.any(1)
        single = torch.zeros_like(has_box)
        if "point" in ambiguous:
            single |= (points == 1) & ~has_box
        if "box" in ambiguous:
            single |= (points == 0) & has_box
        if self.has_mask is not None:
            single &= ~self.has_mask
        tokens = torch.arange(4, device=single.device)
        return (tokens > 0) == single[:, None]


def point_prompts(coords: Float[Tensor, "N 2"], labels: Int[Tensor, " N"]) -> Prompts:
    """One point for every object, followed by the padding point that SAM adds where no box is."""
    first = torch.stack([coords, torch.zeros_like(coords)], dim=1)
    return Prompts(first, torch.stack([labels, torch.full_like(labels, PADDING)], dim=1))


def box_prompts(boxes: Float[Tensor, "N 4"]) -> Prompts:
    """One XYXY box of the input frame for every object."""
    corners = torch.tensor([TOP_LEFT, BOTTOM_RIGHT], device=boxes.device)
    return Prompts(boxes.reshape(-1, 2, 2), corners.expand(len(boxes), 2))


def boxes_or_points(is_box: Bool[Tensor, " N"], boxes: Prompts, points: Prompts) -> Prompts:
    """For each object its box or its point, as one batch."""
    return Prompts(
        torch.where(is_box[:, None, None], boxes.point_coords, points.point_coords),
        torch.where(is_box[:, None], boxes.point_labels, points.point_labels),
    )
