"""Assisted manual: the annotator labels every image from scratch, with SAM behind the clicks."""

from dataclasses import dataclass

from data_engine.annotation.annotators import Annotator
from data_engine.annotation.overlap import without_duplicates
from data_engine.annotation.provenance import Stamp
from data_engine.annotation.task import Annotated, Task, TaskPredictor
from data_engine.phases.phase import Phase


@dataclass(frozen=True)
class AssistedManual(Phase):
    """Masks of an annotator next to those that the image already has (SAM, section 4)."""

    predictor: TaskPredictor
    stamp: Stamp
    annotator: Annotator
    duplicate_iou: float = 0.9

    def annotate(self, task: Task) -> Annotated:
        answer = self.annotator.annotate(task, prefilled=[])
        added = without_duplicates(answer.added, task.current, duplicate_iou=self.duplicate_iou)
        counts = {
            "added": len(added),
            "duplicates": len(answer.added) - len(added),
            "moved_on": answer.moved_on,
            "seconds_elsewhere": answer.seconds_elsewhere,
        }
        return Annotated([*task.current, *added], counts)
