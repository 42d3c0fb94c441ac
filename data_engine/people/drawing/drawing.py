"""What the actions of one task amount to: the objects of its image, with undo and redo."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from data_engine.annotation.overlap import Extent, extent_of
from data_engine.people.drawing.actions import VERDICTS, WHOLE_IMAGE, Action, Candidate
from data_engine.people.drawing.crops import Crop
from data_engine.people.drawing.strokes import painted, reach
from sam_train.data.records import Annotation
from sam_train.data.rle import Rle, encode_window, rle_area, sample_rle


@dataclass(frozen=True)
class Prompted:
    """A point or box, and the candidate that stood when the next action came."""

    action: Action
    chosen: int

    @property
    def candidate(self) -> Candidate:
        return self.action.candidates[self.chosen]


@dataclass(frozen=True)
class DrawnObject:
    """One object: the model's answer to its prompts, and over it all that was brushed.

    Pixels that a person painted or erased stay as they are, whatever the model says later. A
    `given` object was there before; `verdict` is what the annotator thinks of it: accept,
    correct, reject, or None.
    """

    id: int
    prompted: tuple[Prompted, ...]
    strokes: tuple[Action, ...]
    mask: Rle | None  # None: no pixel belongs to it
    given: Annotation | None = None
    verdict: str | None = None

    @property
    def answer(self) -> Candidate | None:
        """The model's mask that was chosen last."""
        return self.prompted[-1].candidate if self.prompted else None

    @cached_property
    def extent(self) -> Extent:
        """The area of its mask and the box around it."""
        assert self.mask is not None
        return extent_of(self.mask)

    @property
    def is_touched(self) -> bool:
        """Whether anything was done to it that still holds."""
        return bool(self.prompted or self.strokes)

    @property
    def actions(self) -> list[Action]:
        """The prompts and strokes that made it, in order."""
        made = [*(prompted.action for prompted in self.prompted), *self.strokes]
        return sorted(made, key=lambda action: action.seq)


class Drawing:
    """All objects of one image of `size` (H, W), grown action by action.

    `given` masks were there before. In a review they are judged and corrected, else they can only
    be rejected.
    """

    def __init__(
        self,
        size: tuple[int, int],
        log: Iterable[Action] = (),
        *,
        given: Sequence[Annotation] = (),
        is_review: bool = False,
    ) -> None:
        self.size = size
        self.is_review = is_review
        self.given = {annotation["id"]: annotation for annotation in given}
        self.log: list[Action] = []
        self.done: list[Action] = []
        self.undone: list[Action] = []
        self._objects: dict[int, DrawnObject] = {}
        for action in log:
            self.add(action)

    def add(self, action: Action) -> Action:
        """Applies the next action and returns the one that changed an object: itself, or what
        was undone or redone."""
        changed = self.check(action)
        if action.kind == "undo":
            self.undone.append(self.done.pop())
        elif action.kind == "redo":
            self.done.append(self.undone.pop())
        else:
            self.done.append(action)
            self.undone.clear()
        self.log.append(action)
        if changed.object == WHOLE_IMAGE:
            self._objects.clear()
        self._objects.pop(changed.object, None)
        return changed

    def check(self, action: Action) -> Action:
        """Raises a ValueError if the action cannot come now; else as `add`, without applying."""
        if action.kind in ("undo", "redo"):
            stack = self.done if action.kind == "undo" else self.undone
            if not stack:
                raise ValueError(f"there is nothing to {action.kind}")
            return stack[-1]
        if action.kind in VERDICTS:
            self._check_verdict(action)
        elif action.object in self.given:
            self._check_correction(action)
        if action.kind == "choose":
            prompted = self.object(action.object).prompted
            count = len(prompted[-1].action.candidates) if prompted else 0
            if action.label is None or not 0 <= action.label < count:
                raise ValueError(f"object {action.object} has no candidate {action.label}")
        if action.kind == "delete" and not self.object(action.object).is_touched:
            raise ValueError(f"there is no object {action.object} to delete")
        return action

    @property
    def image_verdict(self) -> str | None:
        """What was said last of the image as a whole: accept, reject, or None."""
        verdicts = [action.kind for action in self.done if action.object == WHOLE_IMAGE]
        return verdicts[-1] if verdicts else None

    def object(self, id: int) -> DrawnObject:
        """An object by its id; one that was never touched, or is deleted, has no actions."""
        if id not in self._objects:
            actions = [action for action in self.done if action.object == id]
            drawn = drawn_object(id, actions, self.size, given=self.given.get(id))
            if drawn.given and drawn.verdict is None and self.image_verdict == "accept":
                drawn = replace(drawn, verdict="accept")
            self._objects[id] = drawn
        return self._objects[id]

    def objects(self) -> list[DrawnObject]:
        """The given ones, then those that are not deleted in the order of their first action."""
        ids = dict.fromkeys([*self.given, *(action.object for action in self.done)])
        drawn = (self.object(id) for id in ids if id != WHOLE_IMAGE)
        return [item for item in drawn if item.given or item.is_touched]

    def ever_touched(self) -> list[DrawnObject]:
        """As `objects`, and those that are deleted or undone."""
        ids = dict.fromkeys([*self.given, *(action.object for action in self.log)])
        return [self.object(id) for id in ids if id != WHOLE_IMAGE]

    def unjudged(self) -> list[int]:
        """The ids of a review's given objects that still need a verdict."""
        if not self.is_review or self.image_verdict:
            return []
        return [id for id in self.given if self.object(id).verdict is None]

    def _check_verdict(self, action: Action) -> None:
        if action.object == WHOLE_IMAGE:
            if not self.is_review:
                raise ValueError("only a review says something of the image as a whole")
        elif action.object not in self.given:
            raise ValueError(f"object {action.object} is none that was given: delete it instead")

    def _check_correction(self, action: Action) -> None:
        if not self.is_review:
            raise ValueError(
                f"object {action.object} is locked: reject it and draw it as a new object"
            )
        if action.kind == "delete":
            raise ValueError(f"object {action.object} was drawn by somebody else: reject it")


def drawn_object(
    id: int,
    actions: Iterable[Action],
    size: tuple[int, int],
    *,
    given: Annotation | None = None,
) -> DrawnObject:
    """Folds the actions of one object; a delete or a verdict starts it afresh."""
    prompted: list[Prompted] = []
    strokes: list[Action] = []
    verdict: str | None = None
    for action in actions:
        if action.kind == "delete" or action.kind in VERDICTS:
            prompted, strokes = [], []
            verdict = action.kind if given else None
            continue
        if given:
            verdict = "correct"
        if action.kind == "choose":
            assert action.label is not None
            prompted[-1] = Prompted(prompted[-1].action, action.label)
        elif action.kind == "brush":
            strokes.append(action)
        else:
            prompted.append(Prompted(action, surest(action.candidates)))
    below = prompted[-1].candidate["segmentation"] if prompted else None
    if below is None and given:
        below = given["segmentation"]
    mask = painted_over(below, strokes, size)
    return DrawnObject(id, tuple(prompted), tuple(strokes), mask, given, verdict)


def surest(candidates: Sequence[Candidate]) -> int:
    """The number of the candidate with the highest predicted IoU; the first of equals.

    One without a pixel is taken only if all are.
    """
    if len(candidates) == 1:
        return 0
    ranks = [(rle_area(c["segmentation"]) > 0, c["predicted_iou"]) for c in candidates]
    return ranks.index(max(ranks))


def painted_over(below: Rle | None, strokes: list[Action], size: tuple[int, int]) -> Rle | None:
    """The mask after the strokes; None if no pixel is left.

    Only the part of the image that the mask or a stroke reaches is painted.
    """
    if below is not None and rle_area(below) == 0:
        below = None
    if not strokes:
        return below
    parts = [reach(stroke, size) for stroke in strokes]
    if below is not None:
        parts.append(extent_of(below)[1:])
    x0, y0, x1, y1 = joined(parts)
    if x0 == x1 or y0 == y1:  # all strokes lie outside of the image
        return None
    canvas = np.zeros((y1 - y0, x1 - x0), bool)
    if below is not None:
        canvas = sample_rle(below, np.arange(y0, y1), np.arange(x0, x1))
    canvas = painted(canvas, strokes, corner=(x0, y0))
    return encode_window(canvas, corner=(x0, y0), size=size) if canvas.any() else None


def joined(boxes: Sequence[Crop]) -> Crop:
    """The XYXY box around all of them."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)
