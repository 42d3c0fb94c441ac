"""Who answers: nobody, a simulated annotator, or (through the same protocol) people."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, UInt8

from data_engine.annotation.click_session import Clicked, click_until_good
from data_engine.annotation.overlap import best_iou
from data_engine.annotation.prominence import prominence
from data_engine.annotation.provenance import Stamp, prompt
from data_engine.annotation.task import Answer, Task, TaskPredictor, next_id
from data_engine.annotation.time_model import AnnotationTime, brush_strokes
from sam_train.data.records import Annotation, Prompt, Rle, annotation_from_rle
from sam_train.data.rle import decode_rle, encode_mask

KnownMasks = Callable[[str], list[Rle]]  # of an image's key: the masks that came with its set


@runtime_checkable
class Annotator(Protocol):
    """Adds masks to an image and may remove prefilled ones."""

    @property
    def name(self) -> str: ...

    def annotate(self, task: Task, prefilled: list[Annotation]) -> Answer:
        """Answers for one image. `prefilled` masks are proposals next to `task.current`."""
        ...


@dataclass(frozen=True)
class NoAnnotator:
    """Adds and removes nothing: prefilled masks stay as they are."""

    predictor: TaskPredictor
    stamp: Stamp
    known_masks: KnownMasks
    name: str = "none"

    def annotate(self, task: Task, prefilled: list[Annotation]) -> Answer:
        return Answer()


@dataclass(frozen=True)
class SimulatedAnnotator:
    """Plays a person who sees the masks that came with the image (SAM, section 4).

    Labels objects in order of prominence that no mask covers yet. Clicks until the mask is
    good, brushes what clicks cannot fix, and moves on to the next image once a mask would take
    longer than `seconds_per_mask_limit`; that mask is not kept.
    """

    predictor: TaskPredictor
    stamp: Stamp
    known_masks: KnownMasks
    time: AnnotationTime = field(default_factory=AnnotationTime)
    target_iou: float = 0.9
    max_clicks: int = 8
    seconds_per_mask_limit: float = 30.0
    covered_iou: float = 0.8
    removed_below_iou: float | None = 0.5
    masks_per_batch: int = 16
    name: str = "simulated"

    def __post_init__(self) -> None:
        for name in ("max_clicks", "masks_per_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: at least 1 is needed")

    def annotate(self, task: Task, prefilled: list[Annotation]) -> Answer:
        known = self.known_masks(task.key)
        removed = self._wrong(known, prefilled)
        seconds = len(removed) * self.time.seconds_per_removal
        kept = [a["segmentation"] for a in [*task.current, *prefilled] if a["id"] not in removed]
        objects = self._uncovered_by_prominence(task.image, known, kept)

        added: list[Annotation] = []
        for mask, clicked in self._click(task, objects):
            annotation = self._finish(clicked, mask, id=next_id(task.current, prefilled, added))
            spent = annotation["provenance"]["seconds"]
            if spent > self.seconds_per_mask_limit:
                seconds += self.seconds_per_mask_limit
                return Answer(added, removed, seconds_elsewhere=seconds, moved_on=True)
            added.append(annotation)
        return Answer(added, removed, seconds_elsewhere=seconds)

    def _wrong(self, known: list[Rle], prefilled: list[Annotation]) -> frozenset[int]:
        """Ids of the prefilled masks that show no known object, if those are to be removed."""
        if self.removed_below_iou is None or not known:
            return frozenset()
        overlaps = best_iou([a["segmentation"] for a in prefilled], known)
        return frozenset(
            annotation["id"]
            for annotation, iou in zip(prefilled, overlaps, strict=True)
            if iou < self.removed_below_iou
        )

    def _uncovered_by_prominence(
        self, image: UInt8[np.ndarray, "H W 3"], known: list[Rle], present: list[Rle]
    ) -> list[Rle]:
        overlaps = best_iou(known, present)
        todo = [k for k, iou in zip(known, overlaps, strict=True) if iou < self.covered_iou]
        scores = [prominence(image, decode_rle(rle)) for rle in todo]
        return [todo[i] for i in np.argsort(-np.array(scores), kind="stable")]

    def _click(
        self, task: Task, objects: list[Rle]
    ) -> Iterator[tuple[Bool[np.ndarray, "H W"], Clicked]]:
        """Known masks with what clicking on them gave. The image is encoded once, if at all."""
        for start in range(0, len(objects), self.masks_per_batch):
            self.predictor.set_task(task)
            known = np.stack([decode_rle(r) for r in objects[start : start + self.masks_per_batch]])
            clicked = click_until_good(
                self.predictor, known, target_iou=self.target_iou, max_clicks=self.max_clicks
            )
            yield from zip(known, clicked, strict=True)

    def _finish(self, clicked: Clicked, known: Bool[np.ndarray, "H W"], *, id: int) -> Annotation:
        """The annotation of one object: the clicked mask, brushed if that is not good."""
        size = known.shape
        seconds = self.time.seconds_to_find
        prompts: list[Prompt] = []
        for xy, label in zip(clicked.coords, clicked.labels, strict=True):
            seconds += self.time.seconds_per_click
            prompts.append(prompt("point", xy.tolist(), label=int(label), time_s=seconds))
        mask = clicked.mask
        if clicked.iou < self.target_iou:
            radius = self.time.brush_radius / self.time.magnification(size)
            for stroke in brush_strokes(mask, known, radius=radius):
                seconds += self.time.stroke_seconds(stroke, size)
                prompts.append(prompt("brush", stroke.box, label=stroke.label, time_s=seconds))
            mask = known
        return annotation_from_rle(
            encode_mask(mask),
            id=id,
            predicted_iou=clicked.predicted_iou,
            stability_score=clicked.stability_score,
            point_coords=clicked.coords[:1].tolist(),
            provenance=self.stamp.provenance(self.name, prompts, seconds=seconds),
        )
