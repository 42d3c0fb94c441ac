"""Object proposals: average recall of at most 1000 masks, by size and by frequency.

Kirillov et al. 2023 (Segment Anything), sec. 7.3 and App. D.3. A 64 x 64 grid of points, no score
filters the masks, box NMS at 0.9. Where more than 1000 are left, those with the highest mean of
predicted IoU and stability stay. Recall is COCO's: masks take known objects in their order, each
the free object with the highest IoU, at thresholds .50, .55, ... .95; AR is the mean over them.
Categories play no part. AR of a size (COCO's, by the annotation's area) or of a frequency class
(LVIS) is that of the objects of the class alone; crowds are taken without count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pycocotools import mask as coco_mask

from sam_train.data.rle import encode_mask, rle_area
from sam_train.evaluation.measures.coco_matching import AREA_RANGES, recalls
from sam_train.evaluation.measures.summary import SIZES, Row, counts_of, means
from sam_train.evaluation.models.segmenter import Segmenter, full_masks
from sam_train.evaluation.protocols.grid import GridMasks, grid_masks
from sam_train.evaluation.protocols.rounds import prompts_at_once
from sam_train.evaluation.sets.annotated_image import Instance
from sam_train.evaluation.sets.sampling import EvaluatedImage

FREQUENCIES = {"f": "frequent", "c": "common", "r": "rare"}


@dataclass(frozen=True)
class ProposalProtocol:
    """How masks are proposed. A row is a known object."""

    name: str = "proposals"
    points_per_side: int = 64
    nms_thresh: float = 0.9
    max_proposals: int = 1000
    multimask_output: bool = True

    @property
    def columns(self) -> list[str]:
        classes = (*SIZES, *FREQUENCIES.values())
        return ["ar", *(f"ar_{name}" for name in classes)]

    def evaluate(self, segmenter: Segmenter, evaluated: EvaluatedImage) -> list[Row]:
        objects = known_objects(evaluated)
        segmenter.set_image(evaluated.image)
        masks = grid_masks(
            segmenter,
            evaluated.size,
            points_per_side=self.points_per_side,
            nms_thresh=self.nms_thresh,
            multimask_output=self.multimask_output,
        )
        masks = masks[proposal_order(masks)[: self.max_proposals]]
        ious = overlaps(segmenter, masks, objects, evaluated.size)
        return object_rows(evaluated.key, objects, ious, len(masks))

    def summarise(self, rows: Sequence[Row]) -> dict[str, Any]:
        return counts_of(rows) | means(rows, [*self.columns, "proposals"])


def proposal_order(masks: GridMasks) -> torch.Tensor:
    """Best first, by the mean of predicted IoU and stability."""
    return torch.argsort(-(masks.iou_pred + masks.stability), stable=True)


def known_objects(evaluated: EvaluatedImage) -> list[Instance]:
    """The annotated objects; where a set has no more than masks, those."""
    read = getattr(evaluated.labeled, "instances", None)
    if read is not None:
        return read()
    return [Instance(0, rle, float(rle_area(rle))) for rle in evaluated.masks.values()]


def overlaps(
    segmenter: Segmenter,
    masks: GridMasks,
    objects: Sequence[Instance],
    size: tuple[int, int],
) -> Float[np.ndarray, "D G"]:
    """The IoU of every proposal with every object; with a crowd, the share of the proposal."""
    truth = [instance.rle for instance in objects]
    crowd = [int(instance.crowd) for instance in objects]
    found = [np.zeros((0, len(objects)))]
    step = prompts_at_once(size)
    for start in range(0, len(masks) if objects else 0, step):
        pixels = full_masks(segmenter, masks.low_res_logits[start : start + step], size)
        rles = [encode_mask(mask) for mask in pixels]
        found.append(np.asarray(coco_mask.iou(rles, truth, crowd)).reshape(len(rles), -1))
    return np.concatenate(found)


def object_rows(
    key: str, objects: Sequence[Instance], ious: Float[np.ndarray, "D G"], proposals: int
) -> list[Row]:
    """A row for each object that counts, with its recall among all and in each of its classes."""
    crowd = np.array([instance.crowd for instance in objects], bool)
    classes = {
        f"ar_{size}": [low <= instance.area <= high for instance in objects]
        for size, (low, high) in AREA_RANGES.items()
        if size != "all"
    }
    for letter, name in FREQUENCIES.items():
        classes[f"ar_{name}"] = [i.frequency == letter for i in objects]
    columns = {"ar": recalls(ious, crowd, crowd)}
    for name, inside in classes.items():
        outside = ~np.array(inside, bool)
        values = recalls(ious, crowd, crowd | outside)
        columns[name] = np.where(outside, np.nan, values)
    return [
        {
            "key": key,
            "mask_id": number,
            "area": instance.area,
            "proposals": proposals,
            **{k: None if np.isnan(v[number]) else float(v[number]) for k, v in columns.items()},
        }
        for number, instance in enumerate(objects)
        if not instance.crowd
    ]
