"""What a model must do to be evaluated: three methods, whatever stands behind them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from sam_train.inference.mask_filters import stability_score


@dataclass(frozen=True)
class ImagePrompts:
    """Points, boxes or both for N objects of one image, on the CPU, in pixels of that image.

    Points are (x, y) with label 1 (foreground), 0 (background) or -1 (none), boxes XYXY;
    `mask_inputs` are low-resolution logits of the answer before, as the model gave them.
    """

    point_coords: Float[Tensor, "N P 2"] | None = None
    point_labels: Int[Tensor, "N P"] | None = None
    boxes: Float[Tensor, "N 4"] | None = None
    mask_inputs: Float[Tensor, "N 1 h w"] | None = None

    def __len__(self) -> int:
        return len(self.boxes if self.point_coords is None else self.point_coords)


@dataclass(frozen=True)
class Answer:
    """M candidates for each prompt, at whatever resolution the model works, with their scores."""

    low_res_logits: Float[Tensor, "N M h w"]
    iou_pred: Float[Tensor, "N M"]

    def most_confident(self) -> Float[Tensor, "N h w"]:
        """The candidate of each object with the highest predicted IoU; the first of equals."""
        each = torch.arange(len(self.iou_pred), device=self.iou_pred.device)
        return self.low_res_logits[each, self.iou_pred.argmax(1)]


@runtime_checkable
class Segmenter(Protocol):
    """A model that answers prompts. The image is encoded once, by `set_image`."""

    def set_image(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
        """Takes the RGB image that the next prompts are about."""

    def answer(self, prompts: ImagePrompts, *, multimask_output: bool) -> Answer:
        """The candidates of N prompts: several where `multimask_output`, else one."""

    def enlarge(self, low_res_logits: Float[Tensor, "N h w"]) -> Float[Tensor, "N H W"]:
        """Logits at the size of the image; what is above 0 is the mask."""


@dataclass(frozen=True)
class MaskWindow:
    """A mask at the image's size: outside of the pixels, whose corner is at (x, y), it is empty.

    `stability` is the IoU of the masks at logits `offset` above and below the threshold.
    """

    corner: tuple[int, int]
    pixels: Bool[np.ndarray, "h w"]
    stability: float

    @property
    def frame(self) -> tuple[slice, slice]:
        """Its rows and columns in the image."""
        x, y = self.corner
        height, width = self.pixels.shape
        return slice(y, y + height), slice(x, x + width)


@runtime_checkable
class WindowSegmenter(Segmenter, Protocol):
    """A model that finds its masks quicker than through the logits of every pixel."""

    def windows(
        self, low_res_logits: Float[Tensor, "N h w"], *, offset: float
    ) -> Iterator[MaskWindow]:
        """The masks of `enlarge` of the same logits."""


def ask(segmenter: Segmenter, prompts: ImagePrompts, *, multimask_output: bool) -> Answer:
    """The answer, refused unless there is one finite score for each candidate of each prompt."""
    answer = segmenter.answer(prompts, multimask_output=multimask_output)
    shape = tuple(answer.low_res_logits.shape[:2])
    if shape != tuple(answer.iou_pred.shape) or shape[0] != len(prompts) or 0 in shape:
        raise ValueError(
            f"the model answers {len(prompts)} prompts with {shape} masks and "
            f"{tuple(answer.iou_pred.shape)} scores; mend its `answer`"
        )
    if not answer.iou_pred.isfinite().all():
        raise ValueError("the model answers with scores that are no finite numbers; mend its head")
    if answer.low_res_logits.isnan().any():
        raise ValueError("the model answers with logits that are no numbers; mend its weights")
    return answer


def full_logits(
    segmenter: Segmenter, low_res_logits: Float[Tensor, "N h w"], size: tuple[int, int]
) -> Float[Tensor, "N H W"]:
    """The logits at the image's own (H, W), refused at any other."""
    logits = segmenter.enlarge(low_res_logits)
    expected = (len(low_res_logits), *size)
    if tuple(logits.shape) != expected:
        raise ValueError(
            f"the model answers with masks of {tuple(logits.shape)} for {expected} (number, "
            "height, width); mend its `enlarge`"
        )
    return logits


def mask_windows(
    segmenter: Segmenter,
    low_res_logits: Float[Tensor, "N h w"],
    size: tuple[int, int],
    *,
    offset: float = 0.0,
) -> Iterator[MaskWindow]:
    """The masks at the image's own (H, W), one after the other."""
    if isinstance(segmenter, WindowSegmenter):
        yield from segmenter.windows(low_res_logits, offset=offset)
        return
    logits = full_logits(segmenter, low_res_logits, size)
    stability = stability_score(logits, 0.0, offset).tolist()
    for mask, score in zip((logits > 0).cpu().numpy(), stability, strict=True):
        yield MaskWindow((0, 0), mask, score)


def full_masks(
    segmenter: Segmenter, low_res_logits: Float[Tensor, "N h w"], size: tuple[int, int]
) -> Bool[np.ndarray, "N H W"]:
    """The masks at the image's own (H, W), all together."""
    masks = np.zeros((len(low_res_logits), *size), bool)
    for mask, window in zip(masks, mask_windows(segmenter, low_res_logits, size), strict=True):
        mask[window.frame] = window.pixels
    return masks
