"""What the page and the server say to each other.

A task is an image and what is to be done to it. `POST /api/task` answers

    {"key", "kind", "phase", "width", "height", "progress", "image_verdict",
     "seq", "can_undo", "can_redo", "current", "duplicate_iou", "rule", "objects": [...]}

or only `{"progress"}` if nothing is left. `kind` is "annotate" (draw the objects) or "review"
(judge what somebody else drew); `phase` is assisted_manual or semi_automatic. `rule` is the rule
of overlap in a sentence to show, `progress` counts images by what became of them.

Each of the `objects`, there and in the answer to an action, is

    {"id", "given", "locked", "verdict", "mask", "predicted_iou", "stability_score",
     "prompts", "candidates", "chosen", "strokes", "duplicate_of"}

- `given` objects were there before the annotator came; their ids are taken, so new objects get ids
  above the highest one. In an "annotate" task they are `locked`: prefilled by the detector (or kept
  from a review), shown, not to be changed; a wrong one is rejected. In a "review" task they are
  the masks to judge.
- `verdict` of a given object: null (nothing said), "accept", "correct" or "reject".
- An object that is not given, without prompts and strokes, is deleted.
- `duplicate_of` is the id of an object that comes first and that this one covers: IoU of at least
  `duplicate_iou`. Who is first stays (given objects, then drawn ones in their order); the later is
  dropped when the work is collected. Any other overlap stays: both masks have those pixels.

`POST /api/tasks/KEY/actions` takes `{"seq", "object", "kind", "seconds", "coords", "label",
"radius", "crop"}`, the last four only where the kind has them, and answers `{"seq", "can_undo",
"can_redo", "objects"}` with the objects that changed. Kinds: point, box, brush, choose, delete,
undo, redo, and the verdicts:

- "reject" and "accept" of a given `object`. In an "annotate" task "accept" takes a rejection back.
  In a "review" a point, box or brush on a given object makes its verdict "correct"; "accept" or
  "reject" afterwards drops that correction.
- `object` 0 is the image: "accept" accepts all that has no verdict yet, "reject" sends the image
  back to the queue with what was not rejected in it. The verdict is `image_verdict` in the answer.

Saving a review in which a given object has no verdict and the image has none either is refused.

`crop` (XYXY in image pixels) is for small objects: `POST /api/tasks/KEY/crop {"crop": the part in
view}` encodes the part of the image around it and answers `{"crop": [...]}`, to be sent with
points, boxes and previews made while that part is in view; null means the whole image.

`POST /api/tasks/KEY/preview` takes an action of kind point or box with its object and stores
nothing; it answers `{"mask", "predicted_iou"}`. It is decoded as that action would be: with the
prompts that the object has.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from data_engine.annotation.overlap import covered
from data_engine.people.drawing.actions import KINDS, WHOLE_IMAGE, Action, ActionKind, Candidate
from data_engine.people.drawing.crops import Crop
from data_engine.people.drawing.drawing import Drawing, DrawnObject
from data_engine.service.workbench.workbench import Change, OpenTask, Rules
from sam_train.data.rle import rle_area

Finite = Annotated[float, Field(allow_inf_nan=False)]
MAX_COORDS = 40_000
OVERLAP_RULE = (
    "A new mask that covers one that is there (IoU of {iou:.2f} or more) is dropped; where masks "
    "overlap less, both keep the pixels."
)


class Message(BaseModel):
    """Json of exactly these keys and types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ActionMessage(Message):
    """One action; see `Action` for what the values mean."""

    seq: int = Field(ge=0)
    object: int
    kind: Annotated[str, Field(pattern=f"^({'|'.join(KINDS)})$")]
    seconds: Finite
    coords: list[Finite] = Field(default_factory=list, max_length=MAX_COORDS)
    label: int | None = None
    radius: Finite | None = None
    crop: list[int] | None = Field(default=None, min_length=4, max_length=4)

    def action(self, annotator: str) -> Action:
        kind: ActionKind = self.kind  # type: ignore[assignment]  # one of them, by the pattern
        crop: Crop | None = None
        if self.crop is not None:
            x0, y0, x1, y1 = self.crop
            crop = x0, y0, x1, y1
        return Action(
            seq=self.seq,
            object=self.object,
            kind=kind,
            seconds=float(self.seconds),
            annotator=annotator,
            coords=tuple(map(float, self.coords)),
            label=self.label,
            radius=None if self.radius is None else float(self.radius),
            crop=crop,
        )


class PreviewMessage(ActionMessage):
    """A point or box that is only thought of."""

    seq: int = 0
    seconds: Finite = 0.0


class CropMessage(Message):
    """The part of the image in view, XYXY."""

    crop: list[Finite] = Field(min_length=4, max_length=4)


class FinishMessage(Message):
    """The end of the work on an image, after so many actions."""

    seq: int = Field(ge=0)


def task_view(task: OpenTask, rules: Rules, progress: dict[str, int]) -> dict[str, Any]:
    """A task with all that is drawn on its image; the object touched last with its candidates."""
    height, width = task.image.size
    touched = [action.object for action in task.drawing.done if action.object != WHOLE_IMAGE]
    iou = rules.duplicate_iou
    return {
        "key": task.task.key,
        "kind": task.task.kind,
        "phase": task.task.phase,
        "width": width,
        "height": height,
        "progress": progress,
        "current": touched[-1] if touched else None,
        "duplicate_iou": iou,
        "rule": OVERLAP_RULE.format(iou=iou),
        **_state(task.drawing),
        "objects": object_views(task.drawing, task.drawing.objects(), iou),
    }


def change_view(change: Change, rules: Rules) -> dict[str, Any]:
    """What an action changed."""
    objects = object_views(change.drawing, change.objects, rules.duplicate_iou)
    return _state(change.drawing) | {"objects": objects}


def preview_view(candidate: Candidate) -> dict[str, Any]:
    """A mask that is not stored; null if it has no pixel."""
    is_empty = rle_area(candidate["segmentation"]) == 0
    mask = None if is_empty else candidate["segmentation"]
    return {"mask": mask, "predicted_iou": candidate["predicted_iou"]}


def object_views(
    drawing: Drawing, shown: list[DrawnObject], duplicate_iou: float
) -> list[dict[str, Any]]:
    """Objects of a drawing as the page shows them, each with the one before that it covers."""
    valid = [item for item in drawing.objects() if item.mask and item.verdict != "reject"]
    masks = [item.mask for item in valid if item.mask]
    extents = [item.extent for item in valid]
    places = {item.id: place for place, item in enumerate(valid)}
    duplicates: dict[int, int] = {}
    for item in shown:
        if item.given or item.id not in places:
            continue
        before = places[item.id]
        place = covered(
            masks[before],
            masks[:before],
            extents=(extents[before], extents[:before]),
            duplicate_iou=duplicate_iou,
        )
        if place is not None:
            duplicates[item.id] = valid[place].id
    return [
        object_view(item, duplicates.get(item.id), is_review=drawing.is_review) for item in shown
    ]


def object_view(drawn: DrawnObject, duplicate_of: int | None, *, is_review: bool) -> dict[str, Any]:
    """One object; see above."""
    prompts = [action.prompt() for action in drawn.actions if action.kind in ("point", "box")]
    last = drawn.prompted[-1] if drawn.prompted else None
    scores = drawn.answer or drawn.given
    return {
        "id": drawn.id,
        "given": drawn.given is not None,
        "locked": drawn.given is not None and not is_review,
        "verdict": drawn.verdict,
        "mask": drawn.mask,
        "predicted_iou": scores["predicted_iou"] if scores else None,
        "stability_score": scores["stability_score"] if scores else None,
        "prompts": [{key: p[key] for key in ("type", "coords", "label")} for p in prompts],
        "candidates": list(last.action.candidates) if last else [],
        "chosen": last.chosen if last else None,
        "strokes": len(drawn.strokes),
        "duplicate_of": duplicate_of,
    }


def _state(drawing: Drawing) -> dict[str, Any]:
    return {
        "seq": len(drawing.log),
        "can_undo": bool(drawing.done),
        "can_redo": bool(drawing.undone),
        "image_verdict": drawing.image_verdict,
    }
