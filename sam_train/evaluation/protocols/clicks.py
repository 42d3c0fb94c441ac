"""Mean IoU after 1, 2, 3, 5 and 9 simulated clicks, and with a box.

Kirillov et al. 2023 (Segment Anything), sec. 7.1 and App. D.1. Every known mask is an object of
its own. The first click is the pixel of the mask that is farthest from its outside (the image's
border is outside too), or a random pixel of it; each further one is the pixel of the larger error
that is farthest from that error's boundary. One click asks for three masks, of which the most
confident counts; `oracle` is the best of the three. More clicks ask for one, with the logits of
the mask before. A box is the mask's own, or one with noise (10 % of a side, at most 20 pixels,
App. A), and again the most confident of three masks counts (App. D.4).

IoU is taken at the image's own size. Means are over masks, then over sets with equal weight.
Boundary IoU: Cheng et al. 2021, bands of 2 % of the diagonal. Sizes: COCO's, 32^2 and 96^2 pixels.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sam_train.evaluation.measures.calibration import calibration_error
from sam_train.evaluation.measures.floors import DISC_RADIUS, floor_ious
from sam_train.evaluation.measures.overlap import boundary_band, iou, mask_window, union_window
from sam_train.evaluation.measures.summary import Row, summarise_masks
from sam_train.evaluation.models.segmenter import ImagePrompts, Segmenter, ask
from sam_train.evaluation.protocols.rounds import (
    ClickRound,
    MaskBatch,
    clicks_of,
    mask_batches,
    masks_at,
    play_clicks,
    stored,
)
from sam_train.evaluation.sets.sampling import EvaluatedImage
from sam_train.interaction.draws import uniform
from sam_train.interaction.prompts import FOREGROUND
from sam_train.interaction.sampling import (
    error_centre,
    mask_centre,
    noisy_boxes,
    pixel_at,
)

CLICKS = (1, 2, 3, 5, 9)
NOISE_STD, MAX_NOISE = 0.1, 20.0  # of a box: share of the side, pixels (SAM, App. A)


@dataclass(frozen=True)
class ClickProtocol:
    """What is asked of every mask."""

    name: str = "clicks"
    clicks: Sequence[int] = CLICKS
    first_click: Literal["centre", "random"] = "centre"
    box_multimask_output: bool = True  # SAM 2 takes a box for two points: false
    noisy_box: bool = True
    boundary: bool = True
    disc_radius: float = DISC_RADIUS  # of the floor, as a share of the longest side
    keep_masks: bool = True  # in the rows, for pictures

    def __post_init__(self) -> None:
        if not self.clicks or min(self.clicks) < 1:
            raise ValueError(f"clicks must be counts from 1 on, not {list(self.clicks)}")

    @property
    def columns(self) -> list[str]:
        boxes = ["box", "noisy_box"] if self.noisy_box else ["box"]
        asked = [f"at_{count}" for count in sorted(self.clicks)] + boxes
        return [
            *(f"iou_{name}" for name in asked),
            *(f"boundary_iou_{name}" for name in asked if self.boundary),
            *("oracle_at_1", "empty_at_1", "disc", "box", "ellipse"),
        ]

    def evaluate(self, segmenter: Segmenter, evaluated: EvaluatedImage) -> list[Row]:
        """A row per mask. The image is encoded once, its masks are decoded in batches."""
        segmenter.set_image(evaluated.image)
        return [
            row
            for batch in mask_batches(evaluated)
            for row in self._evaluate_batch(segmenter, evaluated, batch)
        ]

    def summarise(self, rows: Sequence[Row]) -> dict[str, Any]:
        predicted = [row["predicted_iou_at_1"] for row in rows]
        true = [row["iou_at_1"] for row in rows] if 1 in self.clicks else []
        error = {"calibration_error": calibration_error(predicted, true)} if true else {}
        return summarise_masks(rows, self.columns) | error

    def _evaluate_batch(
        self, segmenter: Segmenter, evaluated: EvaluatedImage, batch: MaskBatch
    ) -> list[Row]:
        truth = torch.from_numpy(batch.masks)
        seeds = mask_seeds(evaluated.key, batch.ids)
        centres = mask_centre(truth)
        rows = list(self._descriptions(evaluated, batch, centres))
        bands = [boundary_band(mask) if self.boundary else None for mask in batch.masks]

        for played in click_rounds(
            segmenter,
            batch,
            max(self.clicks),
            first_clicks=self._first_clicks(truth, centres, seeds),
            ignored=evaluated.ignored,
        ):
            count = played.point_labels.shape[1]
            if count == 1:
                self._add_first_answer(segmenter, rows, played, evaluated, batch)
            if count in self.clicks:
                self._add(rows, f"at_{count}", played.pred_masks, batch, bands)
        for number, row in enumerate(rows):
            row["clicks"] = clicks_of(played, number)

        for name, boxes in self._boxes(batch, seeds).items():
            prompts = ImagePrompts(boxes=boxes)
            answer = ask(segmenter, prompts, multimask_output=self.box_multimask_output)
            best = answer.most_confident()
            masks = masks_at(segmenter, best, evaluated.size, evaluated.ignored)
            self._add(rows, name, masks, batch, bands)
        return rows

    def _descriptions(
        self, evaluated: EvaluatedImage, batch: MaskBatch, centres: Float[Tensor, "N 2"]
    ) -> Iterator[Row]:
        height, width = evaluated.size
        for id, mask, (x, y) in zip(batch.ids, batch.masks, centres.tolist(), strict=True):
            yield {
                "key": evaluated.key,
                "mask_id": id,
                "height": height,
                "width": width,
                "area": int(np.count_nonzero(mask)),
                **floor_ious(mask, (x, y), disc_radius=self.disc_radius),
            }

    def _first_clicks(
        self,
        truth: Bool[Tensor, "N H W"],
        centres: Float[Tensor, "N 2"],
        seeds: Int[Tensor, " N"],
    ) -> tuple[Float[Tensor, "N 2"], Int[Tensor, " N"]]:
        coords = centres
        if self.first_click == "random":
            coords, _ = pixel_at(truth, uniform(seeds, 4))  # noise takes the streams 0 to 3
        return coords, torch.full((len(truth),), FOREGROUND)

    def _boxes(self, batch: MaskBatch, seeds: Int[Tensor, " N"]) -> dict[str, Float[Tensor, "N 4"]]:
        boxes = batch.boxes()
        if not self.noisy_box:
            return {"box": boxes}
        frame = torch.tensor(batch.masks.shape[1:]).expand(len(boxes), 2)
        noisy = noisy_boxes(boxes, seeds, std=NOISE_STD, max_noise=MAX_NOISE, frame=frame)
        return {"box": boxes, "noisy_box": noisy.float()}

    def _add_first_answer(
        self,
        segmenter: Segmenter,
        rows: list[Row],
        played: ClickRound,
        evaluated: EvaluatedImage,
        batch: MaskBatch,
    ) -> None:
        """The best of the three masks of one click, and how good the model takes its choice."""
        logits, chosen = played.answer.low_res_logits, played.answer.iou_pred.argmax(1)
        each = torch.arange(len(rows), device=logits.device)
        best = np.array(batch.ious(played.pred_masks))
        for step in range(1, logits.shape[1]):
            another = logits[each, (chosen + step) % logits.shape[1]]
            masks = masks_at(segmenter, another, evaluated.size, evaluated.ignored)
            best = np.maximum(best, batch.ious(masks))
        scores = played.answer.iou_pred.amax(1).tolist()
        for row, oracle, score, mask in zip(rows, best, scores, played.pred_masks, strict=True):
            row["oracle_at_1"] = float(oracle)
            row["predicted_iou_at_1"] = score
            row["empty_at_1"] = float(not mask.any())

    def _add(
        self,
        rows: list[Row],
        name: str,
        masks: Bool[np.ndarray, "N H W"],
        batch: MaskBatch,
        bands: Sequence[Bool[np.ndarray, "H W"] | None],
    ) -> None:
        """The numbers of one prompt for every mask of the batch."""
        parts = zip(rows, masks, batch.ious(masks), bands, strict=True)
        for row, mask, overlap, band in parts:
            row[f"iou_{name}"] = overlap
            if band is not None:
                row[f"boundary_iou_{name}"] = iou(boundary_band(mask), band)
            if self.keep_masks:
                row[f"mask_{name}"] = stored(mask)


def click_rounds(
    segmenter: Segmenter,
    batch: MaskBatch,
    num_clicks: int,
    *,
    first_clicks: tuple[Float[Tensor, "N 2"], Int[Tensor, " N"]],
    ignored: Bool[np.ndarray, "H W"] | None = None,
) -> Iterator[ClickRound]:
    """Clicks on every object, then on the centre of its largest error; the image must be set."""
    return play_clicks(
        segmenter,
        batch.masks.shape[1:],
        first_clicks,
        lambda pred_masks: largest_errors(pred_masks, batch),
        num_clicks=num_clicks,
        ignored=ignored,
    )


def largest_errors(
    pred_masks: Bool[np.ndarray, "N H W"], batch: MaskBatch
) -> tuple[Float[Tensor, "N 2"], Int[Tensor, " N"]]:
    """The centre of the largest error of each mask, looked for where one of the two masks is."""
    clicks = []
    for pred, known, window in zip(pred_masks, batch.masks, batch.windows, strict=True):
        rows, columns = union_window(window, mask_window(pred))
        parts = (torch.from_numpy(mask[None, rows, columns]) for mask in (pred, known))
        coords, labels = error_centre(*parts)
        clicks.append((coords + coords.new_tensor([columns.start, rows.start]), labels))
    coords, labels = (torch.cat(part) for part in zip(*clicks, strict=True))
    return coords, labels


def mask_seeds(key: str, ids: Sequence[int]) -> Int[Tensor, " N"]:
    """A seed for each mask of an image, the same on every machine."""
    digests = [hashlib.sha256(f"{key}/{id}".encode()).digest() for id in ids]
    return torch.tensor([int.from_bytes(digest[:8], signed=True) for digest in digests])
