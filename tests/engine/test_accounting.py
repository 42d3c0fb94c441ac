"""What masks cost, from their provenance."""

from typing import Any

import numpy as np

from data_engine.annotation.accounting import costs
from data_engine.annotation.provenance import Stamp, prompt
from sam_train.data.records import Annotation, Record, annotation_from_rle
from sam_train.data.rle import encode_mask

STAMP = Stamp("semi_automatic", 2, "model", "config")


def mask(id: int, annotator: str, kinds: list[Any], seconds: float) -> Annotation:
    prompts = [prompt(kind, [1.0, 1.0], label=1, time_s=1.0) for kind in kinds]
    provenance = STAMP.provenance(annotator, prompts, seconds=seconds)
    return annotation_from_rle(encode_mask(np.ones((4, 4), bool)), id=id, provenance=provenance)


def test_masks_of_machines_are_counted_but_not_averaged() -> None:
    record: Record = {
        "image": {"image_id": 1, "width": 4, "height": 4, "file_name": "a.jpg"},
        "annotations": [
            mask(1, "detector", ["box"], 0.0),
            mask(2, "simulated", ["point"], 4.0),
            mask(3, "simulated", ["point", "point", "brush"], 12.0),
            annotation_from_rle(encode_mask(np.ones((4, 4), bool)), id=4),
        ],
    }
    (cost,) = costs([record]).values()
    averages = cost.per_mask(seconds_elsewhere=2.0)

    assert (cost.phase, cost.round, cost.masks) == ("semi_automatic", 2, 3)
    assert averages["seconds_per_mask"] == (4 + 12 + 2) / 2
    assert averages["clicks_per_mask"] == 1.5
    assert averages["strokes_per_mask"] == 0.5
    assert averages["brushed_share"] == 0.5


def test_nobody_spent_time_on_automatic_masks() -> None:
    record: Record = {
        "image": {"image_id": 1, "width": 4, "height": 4, "file_name": "a.jpg"},
        "annotations": [mask(1, "automatic", ["point"], 0.0)],
    }
    (cost,) = costs([record]).values()

    assert cost.per_mask()["seconds_per_mask"] == 0
