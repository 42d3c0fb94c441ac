"""What a person can do to an image, one small record each: the log from which masks are made."""

import math
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

from data_engine.people.drawing.crops import Crop, covering
from sam_train.data.records import Prompt
from sam_train.data.rle import Rle

ActionKind = Literal[
    "point", "box", "choose", "brush", "delete", "undo", "redo", "accept", "reject"
]
KINDS: tuple[str, ...] = get_args(ActionKind)
VERDICTS = ("accept", "reject")
WHOLE_IMAGE = 0  # in place of an object: what a verdict is about

MAX_OBJECTS = 100_000
MAX_SECONDS = 3600.0  # of one action: whoever takes longer has left
MAX_RADIUS = 500.0  # image pixels


class Candidate(TypedDict):
    """One of the masks that the model answers."""

    segmentation: Rle
    predicted_iou: float
    stability_score: float


@dataclass(frozen=True)
class Action:
    """One thing that an annotator did to one object of an image; coordinates are its pixels.

    `coords` are x, y of a point, XYXY of a box, or x, y, x, y, ... along a brush stroke of a
    `radius`. `label` is 1 for foreground (paint) and 0 for background (erase), or the number of
    the candidate that was chosen. `seq` counts the actions of the task. `seconds` passed since
    the action before, by the annotator's own clock, which does not jump. `crop` is the XYXY part
    of the image that the model looked at, None for all of it.
    """

    seq: int
    object: int
    kind: ActionKind
    seconds: float
    annotator: str
    coords: tuple[float, ...] = ()
    label: int | None = None
    radius: float | None = None
    crop: Crop | None = None
    candidates: tuple[Candidate, ...] = ()  # the model's answer to a point or a box
    model_sha256: str | None = None

    def same_request(self, other: "Action") -> bool:
        """Whether the other is this one again, sent by a client that had no answer."""
        mine, theirs = (
            (a.seq, a.object, a.kind, a.coords, a.label, a.radius, a.crop, a.annotator)
            for a in (self, other)
        )
        return mine == theirs

    def prompt(self, time_s: float = 0.0) -> Prompt:
        """The action as the `provenance` of a mask keeps it; a stroke as the box around it."""
        coords = list(self.coords)
        if self.kind == "brush":
            x, y, margin = coords[::2], coords[1::2], self.radius or 0.0
            coords = [min(x) - margin, min(y) - margin, max(x) + margin, max(y) + margin]
        return {
            "type": self.kind if self.kind in ("box", "brush") else "point",
            "coords": [round(value, 2) for value in coords],
            "label": None if self.kind == "box" else self.label,
            "time_s": round(time_s, 3),
        }


def check_action(action: Action, size: tuple[int, int]) -> None:
    """Raises a ValueError for an action that no page of ours sends; `size` is (H, W)."""
    _check_form(action)
    if action.kind == "brush":
        _check_stroke(action, size)
    elif action.coords:
        _check_inside(action, size)
    if action.crop is not None:
        _check_crop(action, size)


def _check_form(action: Action) -> None:
    """What can be said without the image."""
    lowest = WHOLE_IMAGE if action.kind in VERDICTS else 1
    if not lowest <= action.object <= MAX_OBJECTS:
        raise ValueError(f"object {action.object} is not between {lowest} and {MAX_OBJECTS:,}")
    if not 0 <= action.seconds <= MAX_SECONDS:
        raise ValueError(f"{action.seconds} seconds are not between 0 and {MAX_SECONDS:g}")
    if not all(map(math.isfinite, action.coords)):
        raise ValueError("coordinates must be finite numbers")
    count = len(action.coords)
    right = {"point": count == 2, "box": count == 4, "brush": count >= 2 and count % 2 == 0}
    if not right.get(action.kind, count == 0):
        raise ValueError(f"a {action.kind} does not have {count} coordinates")
    if action.kind in ("point", "brush") and action.label not in (0, 1):
        raise ValueError(f"the label of a {action.kind} is 1 or 0, not {action.label}")


def _check_stroke(action: Action, size: tuple[int, int]) -> None:
    if not 0 < (action.radius or 0.0) <= MAX_RADIUS:
        raise ValueError(f"the radius of a brush is above 0 and at most {MAX_RADIUS:g} pixels")
    if max(map(abs, action.coords)) > 2 * max(size) + MAX_RADIUS:
        raise ValueError("the stroke lies far outside of the image")


def _check_inside(action: Action, size: tuple[int, int]) -> None:
    height, width = size
    x, y = action.coords[::2], action.coords[1::2]
    if min(x) < 0 or min(y) < 0 or max(x) > width or max(y) > height:
        raise ValueError(f"a {action.kind} lies outside of the image of {width} x {height} pixels")
    if action.kind == "box" and (x[1] - x[0] < 1 or y[1] - y[0] < 1):
        raise ValueError("a box must be at least a pixel wide and high, from its upper left")


def _check_crop(action: Action, size: tuple[int, int]) -> None:
    assert action.crop is not None
    if action.kind not in ("point", "box"):
        raise ValueError(f"a {action.kind} has no crop")
    if covering(action.crop, size) != action.crop:
        raise ValueError("the crop is none that the server answered: ask for one first")
    x0, y0, x1, y1 = action.crop
    x, y = action.coords[::2], action.coords[1::2]
    if min(x) < x0 or min(y) < y0 or max(x) > x1 or max(y) > y1:
        raise ValueError(f"the {action.kind} lies outside of its crop")
