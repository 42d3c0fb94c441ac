"""Instance segmentation from given boxes: COCO's and LVIS's mask AP.

Kirillov et al. 2023 (Segment Anything), sec. 7.4 and App. D.4. Each box of a detector is a prompt;
the most confident mask goes back in with the box for one pass of refinement. The detector's
scores rank the masks. AP is COCO's (Lin et al. 2014): 101 recalls, thresholds .50 to .95, at most
100 detections of an image and a category, by size of the annotation. In an LVIS set (Gupta et al.
2019) detections of a category count only where the image says whether the category is there, and
the limit is 300 of an image. Without a json of detections the annotations' own boxes are the
prompts, all with score 1: the figure then says how well boxes become masks, and nothing of a
detector.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pycocotools import mask as coco_mask

from sam_train.data.records import Rle
from sam_train.data.rle import encode_mask, rle_area
from sam_train.evaluation.measures.average_precision import (
    ScoredMatches,
    grouped,
    mean_over_categories,
)
from sam_train.evaluation.measures.coco_matching import AREA_RANGES, IOU_THRESHOLDS, match
from sam_train.evaluation.measures.summary import Row
from sam_train.evaluation.models.segmenter import ImagePrompts, Segmenter, ask, full_masks
from sam_train.evaluation.protocols.rounds import prompts_at_once
from sam_train.evaluation.sets.annotated_image import (
    AnnotatedImage,
    Detection,
    Instance,
    known_part,
)
from sam_train.evaluation.sets.sampling import EvaluatedImage

MAX_OF_CATEGORY, MAX_OF_LVIS_IMAGE = 100, 300


@dataclass(frozen=True)
class BoxProtocol:
    """What is asked of every box. A row is an image and a category."""

    name: str = "boxes"
    refine: bool = True  # the mask goes back in with its box
    multimask_output: bool = True  # a box gives the most confident of three; SAM 2: false

    @property
    def columns(self) -> list[str]:
        return ["ap"]

    def evaluate(self, segmenter: Segmenter, evaluated: EvaluatedImage) -> list[Row]:
        labeled = evaluated.labeled
        objects: list[Instance] = known_part(labeled, "instances")
        assert isinstance(labeled, AnnotatedImage)
        detections = counted_detections(known_part(labeled, "detections"), objects, labeled)
        segmenter.set_image(evaluated.image)
        masks = list(self._masks(segmenter, detections, evaluated.size))
        categories = sorted({i.category for i in objects} | {d.category for d in detections})
        return [
            row
            for category in categories
            for row in category_rows(
                evaluated.key,
                category,
                [i for i in objects if i.category == category],
                [(d, m) for d, m in zip(detections, masks, strict=True) if d.category == category],
                exhaustive=category not in labeled.not_exhaustive,
            )
        ]

    def summarise(self, rows: Sequence[Row]) -> dict[str, Any]:
        numbers: dict[str, Any] = {
            "images": len({row["key"] for row in rows}),
            "masks": sum(len(row["scores"]) for row in rows),
            "objects": sum(row["objects"][0] for row in rows),
        }
        for place, size in enumerate(AREA_RANGES):
            matches = [(row["category"], matches_of(row, place)) for row in rows]
            precision = mean_over_categories(grouped(matches))
            if precision is not None:
                numbers["ap" if size == "all" else f"ap_{size}"] = float(precision.mean())
            if precision is not None and size == "all":
                numbers |= {"ap_50": float(precision[0]), "ap_75": float(precision[5])}
        for letter, name in (("r", "rare"), ("c", "common"), ("f", "frequent")):
            inside = [r["category"] for r in rows if r["frequency"] == letter]
            matches = [(r["category"], matches_of(r, 0)) for r in rows if r["category"] in inside]
            precision = mean_over_categories(grouped(matches))
            if precision is not None:
                numbers[f"ap_{name}"] = float(precision.mean())
        return numbers

    def _masks(
        self, segmenter: Segmenter, detections: Sequence[Detection], size: tuple[int, int]
    ) -> Iterator[Rle]:
        """The mask of every detection."""
        # COCO's boxes end where the last pixel ends; a prompt is given in pixel centres.
        boxes = torch.tensor([d.box for d in detections]).reshape(-1, 4)
        step = prompts_at_once(size)
        for batch in boxes.split(step) if len(boxes) else ():
            answer = ask(
                segmenter, ImagePrompts(boxes=batch), multimask_output=self.multimask_output
            )
            best = answer.most_confident()
            if self.refine:
                again = ImagePrompts(boxes=batch, mask_inputs=best[:, None])
                best = ask(segmenter, again, multimask_output=False).most_confident()
            for mask in full_masks(segmenter, best, size):
                yield encode_mask(mask)


def counted_detections(
    detections: Sequence[Detection], objects: Sequence[Instance], labeled: AnnotatedImage
) -> list[Detection]:
    """The detections that count in this image, best first."""
    found = sorted(detections, key=lambda d: -d.score)
    if labeled.absent is None:
        return [d for d, place in zip(found, places(found), strict=True) if place < MAX_OF_CATEGORY]
    known = {i.category for i in objects} | labeled.absent
    return [d for d in found[:MAX_OF_LVIS_IMAGE] if d.category in known]


def places(detections: Sequence[Detection]) -> Iterator[int]:
    """For each detection how many of its category come before it."""
    seen: Counter[int] = Counter()
    for detection in detections:
        yield seen[detection.category]
        seen[detection.category] += 1


def category_rows(
    key: str,
    category: int,
    objects: Sequence[Instance],
    found: Sequence[tuple[Detection, Rle]],
    *,
    exhaustive: bool,
) -> Iterator[Row]:
    """One row: which detections found an object, at each threshold and in each range of areas.

    Ten thresholds are one number, bit by bit; `matched` and `ignored` hold such numbers by range.
    """
    rles = [rle for _, rle in found]
    crowd = np.array([instance.crowd for instance in objects], bool)
    truth = [instance.rle for instance in objects]
    ious = np.zeros((len(rles), len(truth)))
    if rles and truth:
        ious = np.asarray(coco_mask.iou(rles, truth, crowd.astype(int).tolist()))
    areas = np.array([rle_area(rle) for rle in rles], np.float64)
    object_areas = np.array([instance.area for instance in objects], np.float64)

    matched, ignored, counts = [], [], []
    for low, high in AREA_RANGES.values():
        outside = crowd | (object_areas < low) | (object_areas > high)
        taken = match(ious, outside, crowd)  # (T, D)
        is_matched = taken >= 0
        not_counted = is_matched & np.append(outside, False)[taken]
        elsewhere = (areas < low) | (areas > high)
        not_counted |= ~is_matched & (elsewhere | (not exhaustive))
        matched.append(as_bits(is_matched))
        ignored.append(as_bits(not_counted))
        counts.append(int((~outside).sum()))
    yield {
        "key": key,
        "mask_id": category,
        "category": category,
        "frequency": next((i.frequency for i in objects), None),
        "scores": [detection.score for detection, _ in found],
        "matched": matched,
        "ignored": ignored,
        "objects": counts,
    }


def as_bits(flags: Bool[np.ndarray, "T D"]) -> list[int]:
    """The flags of each detection as one number."""
    return [int(value) for value in (1 << np.arange(len(flags))) @ flags]


def from_bits(values: Sequence[int]) -> Bool[np.ndarray, "T D"]:
    """The flags of all detections."""
    bits: Int[np.ndarray, "T 1"] = np.arange(len(IOU_THRESHOLDS))[:, None]
    return (np.array(values, np.int64).reshape(1, -1) >> bits) & 1 == 1


def matches_of(row: Row, place: int) -> ScoredMatches:
    """The detections of a row in one range of areas."""
    scores: Float[np.ndarray, " D"] = np.array(row["scores"], np.float64)
    matched, ignored = (from_bits(row[name][place]) for name in ("matched", "ignored"))
    return ScoredMatches(scores, matched, ignored, row["objects"][place])
