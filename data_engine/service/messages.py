"""What the page and the server say to each other."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from data_engine.people.actions import KINDS, Action, ActionKind
from data_engine.people.drawing import Drawing, DrawnObject
from data_engine.service.workbench import Change, OpenTask

Finite = Annotated[float, Field(allow_inf_nan=False)]
MAX_COORDS = 40_000


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

    def action(self, annotator: str) -> Action:
        kind: ActionKind = self.kind  # type: ignore[assignment]  # one of them, by the pattern
        return Action(
            seq=self.seq,
            object=self.object,
            kind=kind,
            seconds=float(self.seconds),
            annotator=annotator,
            coords=tuple(map(float, self.coords)),
            label=self.label,
            radius=None if self.radius is None else float(self.radius),
        )


class FinishMessage(Message):
    """The end of the work on an image, after so many actions."""

    seq: int = Field(ge=0)


def task_view(task: OpenTask, progress: dict[str, int]) -> dict[str, Any]:
    """An image with all that is drawn on it; the object touched last with its candidates."""
    height, width = task.image.size
    done = task.drawing.done
    return {
        "key": task.image.key,
        "width": width,
        "height": height,
        "progress": progress,
        "current": done[-1].object if done else None,
        **_state(task.drawing),
        "objects": [object_view(drawn) for drawn in task.drawing.objects()],
    }


def change_view(change: Change) -> dict[str, Any]:
    """What an action changed."""
    return _state(change.drawing) | {"objects": [object_view(drawn) for drawn in change.objects]}


def object_view(drawn: DrawnObject) -> dict[str, Any]:
    """One object as the page shows it; without prompts and strokes it is deleted."""
    prompts = [action.prompt() for action in drawn.actions if action.kind in ("point", "box")]
    last = drawn.prompted[-1] if drawn.prompted else None
    return {
        "id": drawn.id,
        "mask": drawn.mask,
        "prompts": [{key: p[key] for key in ("type", "coords", "label")} for p in prompts],
        "candidates": list(last.action.candidates) if last else [],
        "chosen": last.chosen if last else None,
        "strokes": len(drawn.strokes),
    }


def _state(drawing: Drawing) -> dict[str, Any]:
    return {
        "seq": len(drawing.log),
        "can_undo": bool(drawing.done),
        "can_redo": bool(drawing.undone),
    }
