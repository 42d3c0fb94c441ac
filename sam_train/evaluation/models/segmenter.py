"""What a model must do to be evaluated: three methods, whatever stands behind them."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor


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


@runtime_checkable
class MaskSegmenter(Segmenter, Protocol):
    """A model that has a quicker way to its masks than through the logits of every pixel."""

    def enlarged_masks(self, low_res_logits: Float[Tensor, "N h w"]) -> Bool[np.ndarray, "N H W"]:
        """What is above 0 in `enlarge` of the same logits."""


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
    check_size(logits.shape, (len(low_res_logits), *size))
    return logits


def full_masks(
    segmenter: Segmenter, low_res_logits: Float[Tensor, "N h w"], size: tuple[int, int]
) -> Bool[np.ndarray, "N H W"]:
    """The masks at the image's own (H, W)."""
    if not isinstance(segmenter, MaskSegmenter):
        return (full_logits(segmenter, low_res_logits, size) > 0).cpu().numpy()
    masks = segmenter.enlarged_masks(low_res_logits)
    check_size(masks.shape, (len(low_res_logits), *size))
    return masks


def check_size(found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Refuses masks that are not as large as the image."""
    if tuple(found) != expected:
        raise ValueError(
            f"the model answers with masks of {tuple(found)} for {expected} (number, height, "
            "width); mend its `enlarge`"
        )
