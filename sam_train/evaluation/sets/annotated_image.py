"""What single protocols ask of an image besides its masks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from sam_train.data.records import Prompt, Rle
from sam_train.data.sets.labeled_image import LabeledImage


@dataclass(frozen=True)
class Instance:
    """One annotated object. `area` is the annotation's own number, as COCO's metrics take it."""

    category: int
    rle: Rle
    area: float
    crowd: bool = False
    frequency: str | None = None  # LVIS: r(are), c(ommon), f(requent)


@dataclass(frozen=True)
class Detection:
    """A detector's box, XYXY with exclusive ends, in pixels of the image."""

    category: int
    box: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True)
class AnnotatedImage(LabeledImage):
    """A labeled image with what some sets know beyond masks; None is what a set does not know.

    Each part is read when asked for, and raises a ValueError or an OSError that names the file.
    """

    ignored: Callable[[], Bool[np.ndarray, "H W"]] | None = None  # pixels that count for nothing
    boundaries: Callable[[], list[Bool[np.ndarray, "H W"]]] | None = None  # one for each person
    instances: Callable[[], list[Instance]] | None = None
    detections: Callable[[], list[Detection]] | None = None
    # LVIS: categories that are known to be absent, and those not annotated exhaustively.
    absent: frozenset[int] | None = None
    not_exhaustive: frozenset[int] = frozenset()
    clicks: Callable[[], list[list[Prompt]]] | None = None  # recorded, for each mask


def known_part(image: LabeledImage, part: str) -> Any:
    """What the image knows as `part`; a ValueError where its set does not hold such a thing."""
    read = getattr(image, part, None)
    if read is None:
        raise ValueError(
            f"the set of image {image.key} knows no {part}; evaluate it with another protocol"
        )
    return read()
