"""What a phase of the data engine is (SAM, section 4)."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

from data_engine.annotation.annotators import Annotator, KnownMasks
from data_engine.annotation.provenance import Stamp
from data_engine.annotation.task import Annotated, Task, TaskPredictor
from sam_train.data.records import Sample

Samples = Callable[[], Iterable[Sample]]  # reads from the start each time it is called


@runtime_checkable
class Phase(Protocol):
    """Takes images with their current masks and gives them more."""

    def prepare(self, samples: Samples, folder: Path) -> None:
        """Makes what the phase needs for all images, from the masks so far.

        It is kept in `folder`, so that a second call after an interruption finds it. Unless a
        phase says otherwise, it needs nothing.
        """
        return

    def annotate(self, task: Task) -> Annotated: ...


# Both are configured first and built for each round, with the model of that round.
BuildAnnotator = Callable[[TaskPredictor, Stamp, KnownMasks], Annotator]
BuildPhase = Callable[[TaskPredictor, Stamp, Annotator], Phase]
