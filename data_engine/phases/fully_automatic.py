"""Fully automatic: a grid of points on the image and its crops, without an annotator."""

from collections.abc import Callable
from dataclasses import InitVar, dataclass
from typing import Any

from data_engine.annotation.annotators import Annotator
from data_engine.annotation.overlap import without_duplicates
from data_engine.annotation.provenance import Stamp, prompt
from data_engine.annotation.task import Annotated, Task, TaskPredictor, next_id
from data_engine.phases.phase import Phase
from sam_train.data.records import Annotation, annotation_from_rle
from sam_train.inference.automatic_mask_generator import SamAutomaticMaskGenerator
from sam_train.inference.tiled_mask_generator import TiledMaskGenerator
from sam_train.modeling.sam import Sam


@dataclass(frozen=True)
class FullyAutomatic(Phase):
    """Masks of the automatic mask generator next to those that the image has (SAM, App. B).

    With `tiling` it works through the image tile by tile. Masks that show what an earlier mask of
    the image shows are dropped. The annotator is not asked. Beside its own counts the phase has
    those of the generator's filters.
    """

    predictor: TaskPredictor
    stamp: Stamp
    annotator: InitVar[Annotator]  # not kept: it holds the pool, and the phase goes to the workers
    generator: Callable[[Sam], SamAutomaticMaskGenerator]
    tiling: Callable[[SamAutomaticMaskGenerator], TiledMaskGenerator] | None = None
    duplicate_iou: float = 0.7

    def __post_init__(self, annotator: Annotator) -> None:
        self._built()  # settings that cannot work are told at once

    def annotate(self, task: Task) -> Annotated:
        (masks,) = self._built().segment([task.image])
        found = [mask for mask in masks.records("coco_rle") if mask["area"] > 0]
        found.sort(key=lambda mask: -mask["predicted_iou"])
        first_id = next_id(task.current)
        proposed = [self._annotation(mask, first_id + i) for i, mask in enumerate(found)]
        added = without_duplicates(proposed, task.current, duplicate_iou=self.duplicate_iou)
        counts = {"added": len(added), "duplicates": len(proposed) - len(added)}
        return Annotated([*task.current, *added], {**masks.counts, **counts})

    def _built(self) -> SamAutomaticMaskGenerator | TiledMaskGenerator:
        generator = self.generator(self.predictor.model)
        return generator if self.tiling is None else self.tiling(generator)

    def _annotation(self, mask: dict[str, Any], id: int) -> Annotation:
        points = [prompt("point", [x, y], label=1, time_s=0.0) for x, y in mask["point_coords"]]
        return annotation_from_rle(
            mask["segmentation"],
            id=id,
            predicted_iou=mask["predicted_iou"],
            stability_score=mask["stability_score"],
            crop_box=mask["crop_box"],
            point_coords=mask["point_coords"],
            provenance=self.stamp.provenance("automatic", points, seconds=0.0),
        )
