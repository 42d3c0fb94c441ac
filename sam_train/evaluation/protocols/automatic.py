"""Quality of automatic masks against known ones: recall, a panoptic quality, calibration.

A grid of points gives masks as the fully automatic phase does (SAM, App. B): filtered by
predicted IoU and stability, box NMS. `recall_50`, `recall_75` and `ar` are COCO's recall of the
known masks (see `proposals`). `pq` is the panoptic quality of Kirillov et al. 2019 without
categories: masks are painted into one map, the highest predicted IoU on top, and what is left of
each is matched with the known masks made disjoint in the same way, the smallest on top; pairs
with IoU > .5 are unique, and pq is the sum of their IoU over TP + FP / 2 + FN / 2. Pixels that
belong to no known mask count neither for nor against a map: sets seldom name every object.
`calibration_error` compares the predicted IoU with the IoU of the nearest known mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from pycocotools import mask as coco_mask

from sam_train.data.rle import decode_rle, encode_mask
from sam_train.evaluation.measures.calibration import calibration_error
from sam_train.evaluation.measures.coco_matching import IOU_THRESHOLDS, match
from sam_train.evaluation.measures.summary import Row, mean
from sam_train.evaluation.models.segmenter import Segmenter, full_masks
from sam_train.evaluation.protocols.grid import grid_masks
from sam_train.evaluation.protocols.rounds import prompts_at_once
from sam_train.evaluation.sets.sampling import EvaluatedImage


@dataclass(frozen=True)
class AutomaticProtocol:
    """How masks are made. A row is an image."""

    name: str = "automatic"
    points_per_side: int = 32
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    nms_thresh: float = 0.7

    @property
    def columns(self) -> list[str]:
        return ["ar", "recall_50", "recall_75", "pq"]

    def evaluate(self, segmenter: Segmenter, evaluated: EvaluatedImage) -> list[Row]:
        segmenter.set_image(evaluated.image)
        found = grid_masks(
            segmenter,
            evaluated.size,
            points_per_side=self.points_per_side,
            nms_thresh=self.nms_thresh,
        )
        good = found.iou_pred > self.pred_iou_thresh
        found = found[good & (found.stability >= self.stability_score_thresh)]
        step = prompts_at_once(evaluated.size)
        masks = [
            mask
            for batch in found.low_res_logits.split(step)
            for mask in full_masks(segmenter, batch, evaluated.size)
        ]
        truth = [decode_rle(rle) for rle in evaluated.masks.values()]
        row = compared(masks, found.iou_pred.tolist(), truth)
        return [{"key": evaluated.key, "mask_id": 0, **row}]

    def summarise(self, rows: Sequence[Row]) -> dict[str, Any]:
        recall = [value for row in rows for value in row["recalled"]]
        predicted, true = ([v for row in rows for v in row[k]] for k in ("predicted", "true"))
        pairs, unmatched = (
            sum(row["tp"] for row in rows),
            sum(row["fp"] + row["fn"] for row in rows),
        )
        numbers: dict[str, Any] = {"images": len(rows), "masks": len(predicted)}
        if recall:
            numbers |= {
                "ar": mean([value / len(IOU_THRESHOLDS) for value in recall]),
                "recall_50": mean([float(v) for row in rows for v in row["recalled_50"]]),
                "recall_75": mean([float(v) for row in rows for v in row["recalled_75"]]),
                "pq": sum(row["matched_iou"] for row in rows) / max(pairs + unmatched / 2, 1),
            }
        if predicted:
            numbers["calibration_error"] = calibration_error(predicted, true)
        return numbers


def compared(
    masks: Sequence[Bool[np.ndarray, "H W"]],
    predicted: Sequence[float],
    truth: Sequence[Bool[np.ndarray, "H W"]],
) -> Row:
    """What the masks of an image, best first, are worth; `recalled` counts thresholds reached."""
    ious = np.zeros((len(masks), len(truth)))
    if masks and truth:
        a, b = ([encode_mask(mask) for mask in some] for some in (masks, truth))
        ious = np.asarray(coco_mask.iou(a, b, [0] * len(b)))
    none = np.zeros(len(truth), bool)
    taken = match(ious, none, none)
    return {
        "recalled": [int((taken == number).any(1).sum()) for number in range(len(truth))],
        "recalled_50": [number in taken[0] for number in range(len(truth))],
        "recalled_75": [number in taken[5] for number in range(len(truth))],
        "predicted": [float(score) for score in predicted],
        "true": ious.max(1, initial=0.0).tolist(),
        **panoptic_pairs(masks, truth),
    }


def panoptic_pairs(
    masks: Sequence[Bool[np.ndarray, "H W"]], truth: Sequence[Bool[np.ndarray, "H W"]]
) -> Row:
    """True and false positives, misses and the sum of matched IoU of two disjoint maps."""
    if not truth:
        return {"tp": 0, "fp": 0, "fn": 0, "matched_iou": 0.0}
    known = painted(sorted(truth, key=np.count_nonzero))
    found = painted(masks, size=truth[0].shape) * (known > 0)
    counts = np.zeros((found.max() + 1, known.max() + 1))
    np.add.at(counts, (found.ravel(), known.ravel()), 1)
    ious = pair_ious(counts)
    right = ious > 0.5
    present = counts.sum(1)[1:] > 0, counts.sum(0)[1:] > 0
    pairs = int(right.sum())
    return {
        "tp": pairs,
        "fp": int(present[0].sum()) - pairs,
        "fn": int(present[1].sum()) - pairs,
        "matched_iou": float(ious[right].sum()),
    }


def painted(
    masks: Sequence[Bool[np.ndarray, "H W"]], size: tuple[int, ...] | None = None
) -> Int[np.ndarray, "H W"]:
    """A map with 1 where the first mask is, 2 where the second is and not the first, and so on."""
    labels = np.zeros(masks[0].shape if size is None else size, np.int64)
    for number, mask in enumerate(masks, start=1):
        labels[mask & (labels == 0)] = number
    return labels


def pair_ious(counts: Float[np.ndarray, "F K"]) -> Float[np.ndarray, "_ _"]:
    """IoU of every found with every known region, from the pixels that each pair shares."""
    shared = counts[1:, 1:]
    union = counts.sum(1)[1:, None] + counts.sum(0)[None, 1:] - shared
    return shared / np.maximum(union, 1)
