"""What the actions on one image amount to: its objects, with undo and redo."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from data_engine.people.actions import Action, Candidate
from data_engine.people.strokes import painted
from sam_train.data.rle import Rle, decode_rle, encode_mask, rle_area


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

    Pixels that a person painted or erased stay as they are, whatever the model says later.
    """

    id: int
    prompted: tuple[Prompted, ...]
    strokes: tuple[Action, ...]
    mask: Rle | None  # None: no pixel belongs to it

    @property
    def answer(self) -> Candidate | None:
        """The model's mask that was chosen last."""
        return self.prompted[-1].candidate if self.prompted else None

    @property
    def actions(self) -> list[Action]:
        """The prompts and strokes that made it, in order."""
        made = [*(prompted.action for prompted in self.prompted), *self.strokes]
        return sorted(made, key=lambda action: action.seq)


class Drawing:
    """All objects of one image of `size` (H, W), grown action by action."""

    def __init__(self, size: tuple[int, int], log: Iterable[Action] = ()) -> None:
        self.size = size
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
        self._objects.pop(changed.object, None)
        return changed

    def check(self, action: Action) -> Action:
        """Raises a ValueError if the action cannot come now; else as `add`, without applying."""
        if action.kind in ("undo", "redo"):
            stack = self.done if action.kind == "undo" else self.undone
            if not stack:
                raise ValueError(f"there is nothing to {action.kind}")
            return stack[-1]
        if action.kind == "choose":
            prompted = self.object(action.object).prompted
            count = len(prompted[-1].action.candidates) if prompted else 0
            if action.label is None or not 0 <= action.label < count:
                raise ValueError(f"object {action.object} has no candidate {action.label}")
        if action.kind == "delete" and not self.object(action.object).actions:
            raise ValueError(f"there is no object {action.object} to delete")
        return action

    def object(self, id: int) -> DrawnObject:
        """An object by its id; one that was never touched, or is deleted, has no actions."""
        if id not in self._objects:
            actions = [action for action in self.done if action.object == id]
            self._objects[id] = drawn_object(id, actions, self.size)
        return self._objects[id]

    def objects(self) -> list[DrawnObject]:
        """Those that are not deleted, in the order of their first action."""
        ids = dict.fromkeys(action.object for action in self.done)
        return [drawn for drawn in map(self.object, ids) if drawn.actions]


def drawn_object(id: int, actions: Iterable[Action], size: tuple[int, int]) -> DrawnObject:
    """Folds the actions of one object; a delete starts it afresh."""
    prompted: list[Prompted] = []
    strokes: list[Action] = []
    for action in actions:
        if action.kind == "delete":
            prompted, strokes = [], []
        elif action.kind == "choose":
            assert action.label is not None
            prompted[-1] = Prompted(prompted[-1].action, action.label)
        elif action.kind == "brush":
            strokes.append(action)
        else:
            prompted.append(Prompted(action, surest(action.candidates)))
    return DrawnObject(id, tuple(prompted), tuple(strokes), _mask(prompted, strokes, size))


def surest(candidates: Iterable[Candidate]) -> int:
    """The number of the candidate with the highest predicted IoU; the first of equals.

    One without a pixel is taken only if all are.
    """
    ranks = [(rle_area(c["segmentation"]) > 0, c["predicted_iou"]) for c in candidates]
    return ranks.index(max(ranks))


def _mask(prompted: list[Prompted], strokes: list[Action], size: tuple[int, int]) -> Rle | None:
    rle = prompted[-1].candidate["segmentation"] if prompted else None
    if strokes:
        below = np.zeros(size, bool) if rle is None else decode_rle(rle)
        rle = encode_mask(painted(below, strokes))
    return rle if rle is not None and rle_area(rle) > 0 else None
