"""A SAM that answers every click with drawn masks, where random weights would give none.

Its logits are those of a trained model in all that costs time: three nested masks a click, an edge
of a few low-resolution pixels, half of them not confident enough, some too blurred to be stable.
"""

from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sam_train.inference.resize import ResizeLongestSide

IMAGE_SIDE, STRIDE = 1024, 4
LEVELS = 3  # whole, part, subpart


class HeardPrompts(nn.Module):
    """A prompt encoder, or none, and the clicks that it was asked about last."""

    def __init__(self, network: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network
        self.clicks = torch.zeros(0, 1, 2)

    def forward(
        self,
        points: tuple[Float[Tensor, "N 1 2"], Int[Tensor, "N 1"]],
        boxes: None,
        masks: None,
        **_: Any,
    ) -> tuple[Tensor, Tensor]:
        self.clicks = points[0]
        if self.network is None:
            return self.clicks, self.clicks
        return self.network(points=points, boxes=boxes, masks=masks)

    def get_dense_pe(self) -> Tensor:
        return torch.zeros(1) if self.network is None else self.network.get_dense_pe()


class DrawnAnswers(nn.Module):
    """Answers clicks with the smallest masks around them; what no mask covers is one mask too.

    A `network` is asked as well, for the time that it takes, and not listened to.
    """

    def __init__(
        self,
        masks: list[Bool[np.ndarray, "H W"]],
        prompts: HeardPrompts,
        network: nn.Module | None = None,
    ) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        masks = [*masks, ~np.any(masks, axis=0)]
        self.prompts, self.network = prompts, network
        logits = torch.stack([drawn_logits(mask, rng) for mask in masks])
        iou_pred = torch.from_numpy(rng.uniform(0.78, 0.98, len(masks)).astype(np.float32))
        self.register_buffer("logits", logits, persistent=False)
        self.register_buffer("iou_pred", iou_pred, persistent=False)
        areas = torch.tensor([int(mask.sum()) for mask in masks])
        self.register_buffer("areas", areas, persistent=False)

    def compile(self, *arguments: Any, **options: Any) -> None:
        """Compiles the network alone: a graph with the answers would leave it out as unused."""
        if self.network is not None:
            self.network.compile(*arguments, **options)

    def forward(self, **inputs: Any) -> tuple[Float[Tensor, "N M h w"], Float[Tensor, "N M"]]:
        if self.network is not None:
            self.network(**inputs)
        x, y = (self.prompts.clicks[:, 0] / STRIDE).long().unbind(-1)
        around = self.logits[:, y, x] > 0  # (masks, N)
        area = torch.where(around, self.areas[:, None], 2**40)
        chosen = area.topk(LEVELS, dim=0, largest=False).indices.T  # (N, M)
        nearby = (x * 31 + y * 17)[:, None] % 13 / 1000  # each click has its own opinion
        return self.logits[chosen], self.iou_pred[chosen] + nearby


def drawn_logits(
    mask: Bool[np.ndarray, "H W"], rng: np.random.Generator
) -> Float[Tensor, "side side"]:
    """The logits that a trained decoder would give: steep at the edge, nearly level elsewhere."""
    side = IMAGE_SIDE // STRIDE
    height, width = mask.shape
    height, width = ResizeLongestSide.get_preprocess_shape(height, width, side)
    share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(share, (0, 0), rng.uniform(0.5, 1.2)) - 0.5
    noise = cv2.GaussianBlur(rng.normal(0, 3, share.shape).astype(np.float32), (0, 0), 2.0)
    logits = np.full((side, side), -12, np.float32)
    logits[:height, :width] = 80 * blurred + noise
    return torch.from_numpy(logits)
