"""Semi-automatic: confident masks are prefilled, the annotator adds what is missing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from data_engine.annotation.annotators import Annotator
from data_engine.annotation.overlap import without_duplicates
from data_engine.annotation.provenance import Stamp, prompt
from data_engine.annotation.task import Annotated, Task, TaskPredictor, next_id
from data_engine.phases.object_detector import DetectorTraining, ObjectDetector
from data_engine.phases.phase import Phase, Samples
from sam_train.data.records import Annotation, Rle, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.inference.mask_filters import stability_score


@dataclass
class SemiAutomatic(Phase):
    """Boxes of a one-class detector prompt SAM; people add what it missed (SAM, section 4).

    A mask is confident if the detector, the predicted IoU and the stability score all pass
    their thresholds (the paper gives none). Of masks that overlap by `duplicate_iou` or more
    the first stays: those the image has, then prefilled ones by score, then added ones.
    """

    predictor: TaskPredictor
    stamp: Stamp
    annotator: Annotator
    detector_training: DetectorTraining = field(default_factory=DetectorTraining)
    box_score_thresh: float = 0.5
    pred_iou_thresh: float = 0.75
    stability_score_thresh: float = 0.85
    stability_score_offset: float = 1.0
    duplicate_iou: float = 0.7
    boxes_per_batch: int = 32
    detector: ObjectDetector | None = field(default=None, init=False)
    # The masks that people were shown when they answered; None: prefill now.
    shown: Callable[[Task], list[Annotation]] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.boxes_per_batch < 1:
            raise ValueError(f"boxes_per_batch is {self.boxes_per_batch}: at least 1 is needed")

    def prepare(self, samples: Samples, folder: Path) -> None:
        """Trains the box detector on the masks so far, unless people have seen its masks."""
        if self.shown is not None:
            return
        self.predictor.model.to("cuda" if torch.cuda.is_available() else "cpu")
        self.detector = self.detector_training.fit_once(
            self.predictor, samples(), folder / "detector.safetensors"
        )

    def annotate(self, task: Task) -> Annotated:
        proposed = self.shown(task) if self.shown else self._confident_masks(task)
        prefilled = without_duplicates(proposed, task.current, duplicate_iou=self.duplicate_iou)

        answer = self.annotator.annotate(task, prefilled)
        kept = [a for a in prefilled if a["id"] not in answer.removed_ids]
        present = [*task.current, *kept]
        added = without_duplicates(answer.added, present, duplicate_iou=self.duplicate_iou)
        counts = {
            "added": len(added),
            "prefilled": len(prefilled),
            "removed": len(prefilled) - len(kept),
            "duplicates": len(proposed) - len(prefilled) + len(answer.added) - len(added),
            "moved_on": answer.moved_on,
            "seconds_elsewhere": answer.seconds_elsewhere,
        }
        return Annotated([*present, *added], counts)

    def prefill(self, task: Task) -> list[Annotation]:
        """The confident masks to show to an annotator."""
        proposed = self._confident_masks(task)
        return without_duplicates(proposed, task.current, duplicate_iou=self.duplicate_iou)

    @torch.no_grad()
    def _confident_masks(self, task: Task) -> list[Annotation]:
        """SAM's masks in the detector's boxes, the surest box first."""
        assert self.detector is not None, "prepare() comes before annotate()"
        predictor = self.predictor
        predictor.set_task(task)
        boxes, scores = self.detector.detect(predictor.features, predictor.input_size)
        boxes = boxes[scores >= self.box_score_thresh]
        annotations: list[Annotation] = []
        for batch in boxes.split(self.boxes_per_batch):
            annotations += self._masks_in_boxes(batch, next_id(task.current, annotations))
        return annotations

    def _masks_in_boxes(self, boxes: Float[Tensor, "N 4"], first_id: int) -> list[Annotation]:
        """Boxes are XYXY of the input frame."""
        predictor = self.predictor
        low_res_logits, iou_pred = predictor.predict_low_res(
            point_coords=None,
            point_labels=None,
            boxes=boxes,
            multimask_output=True,
        )
        best = (torch.arange(len(boxes), device=boxes.device), iou_pred.argmax(1))
        logits, iou_pred = predictor.upscale(low_res_logits[best][:, None])[:, 0], iou_pred[best]
        threshold = predictor.model.mask_threshold
        masks = logits > threshold
        stability = stability_score(logits, threshold, self.stability_score_offset)
        sure = (iou_pred > self.pred_iou_thresh) & (stability >= self.stability_score_thresh)
        sure &= masks.flatten(1).any(1)

        # Sizes are rounded and EfficientSAM's images stretched, so the axes differ in scale.
        height, width = (
            before / after
            for before, after in zip(predictor.original_size, predictor.input_size, strict=True)
        )
        boxes = boxes * boxes.new_tensor([width, height, width, height])
        return [
            self._annotation(
                encode_mask(masks[row].cpu().numpy()),
                boxes[row].tolist(),
                id=first_id + number,
                predicted_iou=iou_pred[row].item(),
                stability_score=stability[row].item(),
            )
            for number, row in enumerate(sure.nonzero()[:, 0].tolist())
        ]

    def _annotation(self, rle: Rle, box: list[float], **fields: Any) -> Annotation:
        """The prefilled mask of one box (XYXY of the original image)."""
        prompts = [prompt("box", box, label=None, time_s=0.0)]
        return annotation_from_rle(
            rle,
            point_coords=[[(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]],
            provenance=self.stamp.provenance("detector", prompts, seconds=0.0),
            **fields,
        )
