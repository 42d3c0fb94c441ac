"""What people clicked, asked of a model by the evaluation."""

from pathlib import Path
from typing import Any

import pytest

from sam_train.evaluation.models.sam import SamSegmenter
from sam_train.evaluation.protocols.replay import ReplayProtocol
from sam_train.evaluation.sets.recorded import RecordedSet
from sam_train.evaluation.sets.sampling import EvaluatedImage
from sam_train.inference.predictor import SamPredictor
from sam_train.modeling.sam import Sam


def test_the_same_model_gives_the_same_masks_to_the_clicks_of_people(
    ana: Any, collected: Any, sam: Sam, tmp_path: Path
) -> None:
    ana.claim()
    ana.do("point", 20, 20, label=1)
    ana.do("point", 50, 50, label=0)
    ana.do("box", 10.5, 10, 50, 41, object=2)
    ana.save()
    collected()

    (image,) = RecordedSet("recorded", str(tmp_path / "dataset"))
    masks = dict(enumerate(image.masks()))
    evaluated = EvaluatedImage(image.key, image.load(), masks, labeled=image)
    rows = ReplayProtocol(clicks=(1, 2)).evaluate(SamSegmenter(SamPredictor(sam)), evaluated)

    assert [row["prompts"] for row in rows] == [2, 1]
    assert [row["iou_last"] for row in rows] == pytest.approx([1.0, 1.0])
    assert rows[0]["iou_after_1"] < 1.0
