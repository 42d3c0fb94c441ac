"""People as an `Annotator`: what they drew and saved, as the masks of a phase."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

from data_engine.annotation.annotators import KnownMasks
from data_engine.annotation.provenance import Stamp
from data_engine.annotation.task import Answer, Task, TaskPredictor, next_id
from data_engine.people.drawing import Drawing, DrawnObject
from sam_train.data.records import Annotation, Prompt, annotation_from_rle


@dataclass(frozen=True)
class SavedAnswers:
    """Answers with the drawings that people saved; an image that nobody saved gets no mask."""

    predictor: TaskPredictor
    stamp: Stamp
    known_masks: KnownMasks
    saved_drawing: Callable[[str], Drawing | None]  # of an image's key
    name: str = "people"

    def annotate(self, task: Task, prefilled: list[Annotation]) -> Answer:
        drawing = self.saved_drawing(task.key)
        if drawing is None:
            return Answer()
        return answer_of(drawing, self.stamp, first_id=next_id(task.current, prefilled))


def answer_of(drawing: Drawing, stamp: Stamp, *, first_id: int = 1) -> Answer:
    """The masks of a drawing with who made them, how, and in how many seconds.

    Time on objects that were deleted again belongs to no mask.
    """
    seconds: dict[int, float] = defaultdict(float)
    elapsed: dict[int, float] = {}  # seconds on its object, up to and with each action
    for action in drawing.log:
        seconds[action.object] += action.seconds
        elapsed[action.seq] = seconds[action.object]
    drawn = [item for item in drawing.objects() if item.mask is not None]
    added = [
        _annotation(item, stamp, elapsed, id=id, seconds=seconds[item.id])
        for id, item in enumerate(drawn, start=first_id)
    ]
    elsewhere = sum(seconds.values(), 0.0) - sum(seconds[item.id] for item in drawn)
    return Answer(added, seconds_elsewhere=round(elsewhere, 3))


def _annotation(
    drawn: DrawnObject, stamp: Stamp, elapsed: dict[int, float], *, id: int, seconds: float
) -> Annotation:
    assert drawn.mask is not None
    prompts: list[Prompt] = [action.prompt(elapsed[action.seq]) for action in drawn.actions]
    models = [prompted.action.model_sha256 for prompted in drawn.prompted]
    answer = drawn.answer
    return annotation_from_rle(
        drawn.mask,
        id=id,
        predicted_iou=answer["predicted_iou"] if answer else 1.0,
        stability_score=answer["stability_score"] if answer else 1.0,
        point_coords=[p["coords"] for p in prompts if p["type"] == "point"][:1],
        provenance=replace(stamp, model_sha256=models[-1] if models else None).provenance(
            drawn.actions[-1].annotator, prompts, seconds=float(seconds)
        ),
    )
