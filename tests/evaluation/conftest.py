"""A model whose answers are painted by hand, and masks to paint them with."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from sam_train.data.rle import encode_mask
from sam_train.evaluation.models.segmenter import Answer, ImagePrompts
from sam_train.evaluation.sets.sampling import EvaluatedImage

SIDE = 64


def draw_squares(*boxes: tuple[int, int, int, int]) -> Tensor:
    """A filled box XYXY, ends exclusive, in a mask each."""
    masks = torch.zeros(len(boxes), SIDE, SIDE, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def make_image(masks: Tensor, key: str = "a", **extra) -> EvaluatedImage:
    rles = {index: encode_mask(mask.numpy()) for index, mask in enumerate(masks)}
    return EvaluatedImage(key, np.zeros((*masks.shape[1:], 3), np.uint8), rles, **extra)


class PaintedSegmenter:
    """Answers every prompt with the painted candidates (N, M, H, W), and keeps the prompts.

    `iou_pred` is (N, M); a single mask is the first candidate. `change` is called with the number
    of the prompt and the candidates.
    """

    def __init__(
        self,
        candidates: Tensor,
        iou_pred: Tensor | None = None,
        change: Callable[[int, Tensor], Tensor] = lambda _, candidates: candidates,
    ) -> None:
        self.candidates = candidates
        self.iou_pred = torch.ones(candidates.shape[:2]) if iou_pred is None else iou_pred
        self.change = change
        self.asked: list[tuple[ImagePrompts, bool]] = []

    def set_image(self, image: np.ndarray) -> None:
        self.size = image.shape[:2]

    def answer(self, prompts: ImagePrompts, *, multimask_output: bool) -> Answer:
        count = self.candidates.shape[1] if multimask_output else 1
        masks = self.change(len(self.asked), self.candidates)[:, :count]
        self.asked.append((prompts, multimask_output))
        return Answer(masks.float() * 2 - 1, self.iou_pred[:, :count])

    def enlarge(self, low_res_logits: Tensor) -> Tensor:
        return low_res_logits


@pytest.fixture
def squares() -> Callable[..., Tensor]:
    return draw_squares


@pytest.fixture
def image_with() -> Callable[..., EvaluatedImage]:
    return make_image


@pytest.fixture
def painted() -> type[PaintedSegmenter]:
    return PaintedSegmenter
