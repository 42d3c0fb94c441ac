"""Who made a mask, how and when: the `provenance` of every annotation of the engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sam_train.data.records import PhaseName, Prompt, Provenance


@dataclass(frozen=True)
class Stamp:
    """What all masks of one phase in one round share."""

    phase: PhaseName
    round: int
    model_sha256: str | None
    config_sha256: str | None

    def provenance(self, annotator: str, prompts: list[Prompt], *, seconds: float) -> Provenance:
        return {
            "phase": self.phase,
            "round": self.round,
            "annotator": annotator,
            "model_sha256": self.model_sha256,
            "config_sha256": self.config_sha256,
            "prompts": prompts,
            "seconds": round(seconds, 3),
            "parent_id": None,
            "review": {"state": "none", "reviewer": None, "iou": None},
        }


def prompt(
    kind: Literal["point", "box", "mask", "brush"],
    coords: Sequence[float],
    *,
    label: int | None,
    time_s: float,
) -> Prompt:
    """One prompt of a provenance; coordinates are pixels of the original image, boxes XYXY."""
    return {
        "type": kind,
        "coords": [round(value, 2) for value in coords],
        "label": label,
        "time_s": round(time_s, 3),
    }
