"""Objects of one image under simulated or recorded clicks, in batches that bound the memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sam_train.data.records import Rle
from sam_train.data.rle import decode_rle, encode_mask
from sam_train.evaluation.measures.overlap import iou, mask_window
from sam_train.evaluation.models.segmenter import (
    Answer,
    ImagePrompts,
    Segmenter,
    ask,
    full_masks,
)
from sam_train.evaluation.sets.sampling import EvaluatedImage
from sam_train.interaction.prompts import PADDING

# Objects that are decoded together, and the pixels of their masks at original size: logits and
# three candidates of them, 200 MB.
PROMPTS_PER_BATCH, PIXELS_PER_BATCH = 64, 2**24

# The coordinates (x, y) and labels of the next clicks: (masks so far, number of this click).
NextClicks = Callable[[Bool[np.ndarray, "N H W"]], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class MaskBatch:
    """Some masks of one image, decoded, by their index in the set, and where they lie in it."""

    ids: list[int]
    masks: Bool[np.ndarray, "N H W"]
    windows: list[tuple[slice, slice]]

    def boxes(self) -> Float[Tensor, "N 4"]:
        """The outermost pixels of each mask XYXY (inclusive, as in SAM)."""
        sides = [(x.start, y.start, x.stop - 1, y.stop - 1) for y, x in self.windows]
        return torch.tensor(sides, dtype=torch.float32)

    def ious(self, pred_masks: Bool[np.ndarray, "N H W"]) -> list[float]:
        """The IoU of one prediction for each mask."""
        return list(map(iou, pred_masks, self.masks, self.windows))


@dataclass(frozen=True)
class ClickRound:
    """The masks after one more click on every object, at original size."""

    point_coords: Float[Tensor, "N P 2"]  # all clicks so far, in pixels of the original image
    point_labels: Int[Tensor, "N P"]
    answer: Answer
    pred_masks: Bool[np.ndarray, "N H W"]  # the most confident candidate


def mask_batches(evaluated: EvaluatedImage) -> Iterator[MaskBatch]:
    """The masks of an image, as many at a time as fit."""
    ids = list(evaluated.masks)
    step = prompts_at_once(evaluated.size)
    for start in range(0, len(ids), step):
        batch = ids[start : start + step]
        masks = np.stack([decode_rle(evaluated.masks[id]) for id in batch])
        yield MaskBatch(batch, masks, [mask_window(mask) for mask in masks])


def prompts_at_once(size: tuple[int, int]) -> int:
    """How many masks of that size are worked on together."""
    return max(1, min(PROMPTS_PER_BATCH, PIXELS_PER_BATCH // (size[0] * size[1])))


def play_clicks(
    segmenter: Segmenter,
    size: tuple[int, int],
    first_clicks: tuple[Tensor, Tensor],
    next_clicks: NextClicks,
    *,
    num_clicks: int,
    ignored: Bool[np.ndarray, "H W"] | None = None,
) -> Iterator[ClickRound]:
    """Adds a click to every object in each round; the image must be set.

    One click asks for three masks, more for one; the logits of the most confident mask go back
    in with the next click. Masks have no pixel that is `ignored`.
    """
    coords, labels = (part[:, None] for part in first_clicks)
    mask_inputs = None
    for count in range(1, num_clicks + 1):
        prompts = ImagePrompts(coords, labels, mask_inputs=mask_inputs)
        answer = ask(segmenter, prompts, multimask_output=count == 1)
        best = answer.most_confident()
        pred_masks = masks_at(segmenter, best, size, ignored)
        yield ClickRound(coords, labels, answer, pred_masks)

        if count < num_clicks:
            mask_inputs = best[:, None]
            more_coords, more_labels = next_clicks(pred_masks)
            coords = torch.cat([coords, more_coords[:, None]], 1)
            labels = torch.cat([labels, more_labels[:, None]], 1)


def masks_at(
    segmenter: Segmenter,
    low_res_logits: Float[Tensor, "N h w"],
    size: tuple[int, int],
    ignored: Bool[np.ndarray, "H W"] | None = None,
) -> Bool[np.ndarray, "N H W"]:
    """The masks at the image's own size, without ignored pixels."""
    masks = full_masks(segmenter, low_res_logits, size)
    return masks if ignored is None else masks & ~ignored


def clicks_of(played: ClickRound, number: int) -> list[list[float]]:
    """The clicks [x, y, label] of one object, those that were made."""
    coords, labels = played.point_coords[number].tolist(), played.point_labels[number].tolist()
    made = zip(coords, labels, strict=True)
    return [[x, y, float(label)] for (x, y), label in made if label != PADDING]


def stored(mask: Bool[np.ndarray, "H W"]) -> str:
    """A mask as a row keeps it: COCO's run lengths, whose size is the image's."""
    return encode_mask(mask)["counts"]


def restored(row: dict[str, Any], column: str) -> Rle:
    """The mask that `stored` put into a row."""
    return Rle(size=[row["height"], row["width"]], counts=row[column])
