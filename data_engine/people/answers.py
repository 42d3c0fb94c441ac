"""People as an `Annotator`: what they drew and saved, as the masks of a phase."""

from dataclasses import dataclass, replace

from data_engine.annotation.annotators import KnownMasks
from data_engine.annotation.provenance import Stamp
from data_engine.annotation.task import Answer, Task, TaskPredictor, next_id
from data_engine.people.drawing.drawing import Drawing
from data_engine.people.outcomes import Outcome, outcome
from data_engine.people.tasks.store import Store
from data_engine.people.tasks.tasks import StoredTask
from sam_train.data.records import Annotation


@dataclass(frozen=True)
class SavedAnswers:
    """Answers with what people saved; an image that nobody saved gets no mask."""

    predictor: TaskPredictor
    stamp: Stamp
    known_masks: KnownMasks
    store: Store
    name: str = "people"

    def annotate(self, task: Task, prefilled: list[Annotation]) -> Answer:
        outcomes = image_outcomes(self.store, task.key, self.stamp)
        if not outcomes:
            return Answer()
        masks = {annotation["id"]: annotation for annotation in outcomes[-1].annotations}
        prefilled_ids = {annotation["id"] for annotation in prefilled}
        added = [mask for id, mask in masks.items() if id not in prefilled_ids]
        return Answer(
            [{**mask, "id": id} for id, mask in enumerate(added, next_id(task.current, prefilled))],
            removed_ids=frozenset(prefilled_ids - masks.keys()),
            seconds_elsewhere=round(sum(part.seconds_elsewhere for part in outcomes), 3),
        )

    def shown(self, task: Task) -> list[Annotation]:
        """The masks that were prefilled when the image came to people, as they left them."""
        tasks = self.store.tasks_of(task.key)
        given = self.store.given(tasks[0].key) if tasks else None
        outcomes = image_outcomes(self.store, task.key, self.stamp)
        left = {mask["id"]: mask for mask in outcomes[-1].annotations} if outcomes else {}
        return [left.get(mask["id"], mask) for mask in given or []]


def image_outcomes(store: Store, image: str, stamp: Stamp) -> list[Outcome]:
    """What came of each finished task of an image, the oldest first."""
    outcomes = (task_outcome(store, task, stamp) for task in store.tasks_of(image))
    return [found for found in outcomes if found is not None]


def task_outcome(store: Store, task: StoredTask, stamp: Stamp) -> Outcome | None:
    """What came of a task; None if it is not finished, or its image was skipped.

    A review that was skipped leaves the masks as they were.
    """
    stamp = replace(stamp, phase=task.phase, round=task.round)
    if task.state == "saved":
        return outcome(drawing_of(store, task), stamp, reviewer=task.reviewer)
    if task.is_review and task.state == "skipped":
        return Outcome(store.given(task.key) or [])
    return None


def drawing_of(store: Store, task: StoredTask) -> Drawing:
    """What was drawn in a task whose image was prepared."""
    if task.size is None:
        raise ValueError(f"{task.key}: nobody has had this image yet")
    return Drawing(
        task.size,
        store.actions(task.key),
        given=store.given(task.key) or [],
        is_review=task.is_review,
    )
