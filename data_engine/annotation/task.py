"""What an annotator is asked about one image, and what comes back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8

from sam_train.data.records import Annotation
from sam_train.inference.predictor import SamPredictor


@dataclass(frozen=True)
class Task:
    """One image to annotate; `current` are the masks that the dataset already has for it."""

    key: str
    image: UInt8[np.ndarray, "H W 3"]
    current: list[Annotation] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """What an annotator did with one image.

    `seconds_elsewhere` is time that no new mask accounts for: removing wrong prefilled masks
    and the mask that took too long (`moved_on`).
    """

    added: list[Annotation] = field(default_factory=list)
    removed_ids: frozenset[int] = frozenset()
    seconds_elsewhere: float = 0.0
    moved_on: bool = False


@dataclass(frozen=True)
class Annotated:
    """All current masks of one image after a phase, and what was counted on the way.

    Counts are summed over images: `added`, `prefilled`, `removed`, `duplicates`, `moved_on`,
    `seconds_elsewhere`.
    """

    annotations: list[Annotation]
    counts: Mapping[str, int | float]


class TaskPredictor(SamPredictor):
    """A predictor that a phase and its annotator share, so that an image is encoded once."""

    def reset_image(self) -> None:
        super().reset_image()
        self.task: Task | None = None

    def set_task(self, task: Task) -> None:
        """Encodes the image of a task, unless it is the one encoded last."""
        if self.task is not task:
            self.set_image(task.image)
            self.task = task


def next_id(*groups: list[Annotation]) -> int:
    """The first id that no annotation of the image has."""
    return 1 + max((annotation["id"] for group in groups for annotation in group), default=0)
