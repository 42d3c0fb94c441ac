"""What a protocol is: one row per thing that is measured, and the numbers that rows add up to."""

import inspect
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from sam_train.evaluation.measures.summary import Row
from sam_train.evaluation.models.segmenter import Segmenter
from sam_train.evaluation.sets.sampling import EvaluatedImage


@runtime_checkable
class EvaluationProtocol(Protocol):
    """A dataclass of settings. Rows carry `key` and `mask_id`, unique in a set; the rest is free.

    Tables, curves and intervals are made from rows alone, so they need no model. Another protocol,
    on video for one, is another such class and its file in configs/protocol.
    """

    @property
    def name(self) -> str: ...

    @property
    def columns(self) -> Sequence[str]:
        """The numbers of the summary that get an interval, means of the rows' own or not."""

    def evaluate(self, segmenter: Segmenter, evaluated: EvaluatedImage) -> list[Row]:
        """The rows of one image."""

    def summarise(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The numbers of one set: `images`, `masks`, and what the protocol is about."""


def definition(protocol: EvaluationProtocol) -> str:
    """The text at the head of the protocol's file: what is measured, and by whose convention."""
    return inspect.cleandoc(inspect.getmodule(type(protocol)).__doc__)
