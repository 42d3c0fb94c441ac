"""NoC@80, 85 and 90: how many clicks it takes to reach an IoU, by the convention of RITM.

Sofiiuk et al. 2021 (saic-vul/ritm_interactive_segmentation, `isegm/inference`). The first click
and all others are chosen alike: of the missed and of the wrong pixels, those that the last mask
left (at first nothing is found), the region whose inmost pixel is deeper is clicked there. Depth
is the exact distance to the outside, the image's border is outside, pixels that were clicked
before count 0; a tie goes to the wrong pixels (a background click); of equally deep pixels the
first in reading order is taken (distances are compared exactly; RITM compares OpenCV's floats,
which differ in the last bit between equal ones, about once in 1,000 clicks). Pixels that the set
ignores are neither clicked nor counted.

NoC@q is the number of the first click whose mask has IoU >= q, at most 20; a mask that does not
reach it counts 20. Failures are masks that count 20, so one that reaches it at the 20th click is
a failure too. The curve is the mean IoU after each click. RITM's own zoom-in, flips and threshold
0.49 belong to its model, not to the protocol; here the model answers as in `clicks`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sam_train.evaluation.measures.summary import Row, counts_of, mean, means
from sam_train.evaluation.models.segmenter import Segmenter
from sam_train.evaluation.protocols.rounds import (
    ClickRound,
    MaskBatch,
    clicks_of,
    mask_batches,
    play_clicks,
    stored,
)
from sam_train.evaluation.sets.sampling import EvaluatedImage
from sam_train.interaction.prompts import BACKGROUND, FOREGROUND, PADDING

MAX_CLICKS = 20
TARGETS = (0.8, 0.85, 0.9)

Click = tuple[int, int, int]  # x, y, label


@dataclass(frozen=True)
class NocProtocol:
    """How far every mask is taken."""

    name: str = "noc"
    max_clicks: int = MAX_CLICKS
    targets: Sequence[float] = TARGETS
    keep_masks: bool = True  # of the last click, for pictures

    @property
    def columns(self) -> list[str]:
        return [f"noc_{round(100 * target)}" for target in self.targets]

    def evaluate(self, segmenter: Segmenter, evaluated: EvaluatedImage) -> list[Row]:
        segmenter.set_image(evaluated.image)
        return [
            row
            for batch in mask_batches(evaluated)
            for row in self._evaluate_batch(segmenter, evaluated, batch)
        ]

    def summarise(self, rows: Sequence[Row]) -> dict[str, Any]:
        failures = {
            f"failures_{column.removeprefix('noc_')}": sum(
                row[column] == self.max_clicks for row in rows
            )
            for column in self.columns
        }
        curve = [mean([row["ious"][click] for row in rows]) for click in range(self.max_clicks)]
        return counts_of(rows) | means(rows, self.columns) | failures | {"curve": curve}

    def _evaluate_batch(
        self, segmenter: Segmenter, evaluated: EvaluatedImage, batch: MaskBatch
    ) -> list[Row]:
        clicked = np.zeros(batch.masks.shape, bool)

        def next_clicks(
            pred_masks: Bool[np.ndarray, "N H W"],
        ) -> tuple[Float[Tensor, "N 2"], Int[Tensor, " N"]]:
            parts = zip(pred_masks, batch.masks, clicked, strict=True)
            return as_tensors([next_click(*part) for part in parts])

        ious: list[list[float]] = [[] for _ in batch.ids]
        for played in play_clicks(
            segmenter,
            evaluated.size,
            next_clicks(np.zeros(batch.masks.shape, bool)),
            next_clicks,
            num_clicks=self.max_clicks,
            ignored=evaluated.ignored,
        ):
            for history, overlap in zip(ious, batch.ious(played.pred_masks), strict=True):
                history.append(overlap)
        return [
            self._row(evaluated, batch, number, ious[number], played)
            for number in range(len(batch.ids))
        ]

    def _row(
        self,
        evaluated: EvaluatedImage,
        batch: MaskBatch,
        number: int,
        ious: list[float],
        last: ClickRound,
    ) -> Row:
        row = {
            "key": evaluated.key,
            "mask_id": batch.ids[number],
            "height": evaluated.size[0],
            "width": evaluated.size[1],
            "area": int(np.count_nonzero(batch.masks[number])),
            **{k: noc(ious, target) for k, target in zip(self.columns, self.targets, strict=True)},
            "ious": ious,
            "clicks": clicks_of(last, number),
        }
        return row | ({"mask_last": stored(last.pred_masks[number])} if self.keep_masks else {})


def noc(ious: Sequence[float], target: float) -> int:
    """The number of the first click that reaches the target, else of the last one."""
    return next((n for n, iou in enumerate(ious, start=1) if iou >= target), len(ious))


def next_click(
    pred: Bool[np.ndarray, "H W"], truth: Bool[np.ndarray, "H W"], clicked: Bool[np.ndarray, "H W"]
) -> Click:
    """RITM's next click, which is marked in `clicked`; label -1 where nothing is left to click."""
    missed, missed_depth = deepest_pixel(truth & ~pred, clicked)
    wrong, wrong_depth = deepest_pixel(pred & ~truth, clicked)
    is_missed = missed_depth > wrong_depth
    x, y = missed if is_missed else wrong
    if max(missed_depth, wrong_depth) == 0:
        return x, y, PADDING
    clicked[y, x] = True
    return x, y, FOREGROUND if is_missed else BACKGROUND


def deepest_pixel(
    region: Bool[np.ndarray, "H W"], clicked: Bool[np.ndarray, "H W"]
) -> tuple[tuple[int, int], int]:
    """The (x, y) farthest from the outside among those not clicked, and its squared distance.

    Only the region's box is transformed: what lies around it is outside anyway.
    """
    x0, y0, width, height = cv2.boundingRect(region.view(np.uint8))
    if width == 0:
        return (0, 0), 0
    window = (slice(y0, y0 + height), slice(x0, x0 + width))
    patch = np.pad(region[window].view(np.uint8), 1)
    distance = cv2.distanceTransform(patch, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    squared = np.rint(np.square(distance, dtype=np.float64))  # whole numbers, so ties are ties
    squared[clicked[window]] = 0
    y, x = np.unravel_index(squared.argmax(), squared.shape)
    return (int(x) + x0, int(y) + y0), int(squared[y, x])


def as_tensors(clicks: Sequence[Click]) -> tuple[Float[Tensor, "N 2"], Int[Tensor, " N"]]:
    """The coordinates and the labels of one click for every object."""
    parts = torch.tensor(clicks, dtype=torch.int64)
    return parts[:, :2].float(), parts[:, 2]
