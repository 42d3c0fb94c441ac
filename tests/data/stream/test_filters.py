from typing import Any

import numpy as np
import pytest

from sam_train.data.records import PhaseName, Record, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.stream.filters import MaskFilter
from sam_train.data.transforms import View, whole_view


def record(*sides: int, **fields: Any) -> Record:
    """A 100 x 100 image with a square of each side."""
    masks = [np.pad(np.ones((side, side), bool), (0, 100 - side)) for side in sides]
    return {
        "image": {"image_id": 0, "width": 100, "height": 100, "file_name": "toy.jpg"},
        "annotations": [
            annotation_from_rle(encode_mask(mask), id=side, **fields)
            for side, mask in zip(sides, masks, strict=True)
        ],
    }


def provenance(phase: PhaseName, state: str) -> dict[str, Any]:
    return {
        "phase": phase, "round": 0, "annotator": "a", "model_sha256": None, "config_sha256": None,
        "prompts": [], "seconds": 0.0, "parent_id": None,
        "review": {"state": state, "reviewer": None, "iou": None},
    }  # fmt: skip


def kept(record: Record, view: View | None = None, **settings: Any) -> list[int]:
    found = MaskFilter(**settings)(record, view or whole_view((100, 100), 100))
    return [annotation["id"] for annotation in found]


def test_masks_of_nearly_the_whole_image_are_left_out_unless_wanted():
    assert kept(record(10, 94, 95, 100)) == [10, 94]
    assert kept(record(10, 100), max_area=1.0) == [10, 100]


def test_small_masks_are_measured_as_the_model_sees_them():
    assert kept(record(4, 10), min_input_area=100.0) == [10]
    assert kept(record(4, 10), whole_view((100, 100), 300), min_input_area=100.0) == [4, 10]
    assert kept(record(10), whole_view((100, 100), 50), min_input_area=100.0) == []


def test_scores_below_a_threshold_are_left_out():
    scored = record(10, predicted_iou=0.8, stability_score=0.9)
    assert kept(scored, pred_iou_thresh=0.8, stability_score_thresh=0.9) == [10]
    assert kept(scored, pred_iou_thresh=0.81) == kept(scored, stability_score_thresh=0.91) == []


def test_a_mask_without_scores_passes_every_threshold():
    plain = record(10)
    del plain["annotations"][0]["predicted_iou"]
    assert kept(plain, pred_iou_thresh=0.99) == [10]


def test_phases_and_review_states_are_chosen_by_provenance():
    made = record(10, provenance=provenance("semi_automatic", "accepted"))
    made["annotations"] += record(20)["annotations"]
    assert kept(made, phases=["semi_automatic"]) == [10]
    assert kept(made, phases=["fully_automatic"]) == [20]
    assert kept(made, review_states=["accepted"]) == [10]
    assert kept(made, review_states=["accepted", "none"]) == [10, 20]


def test_an_unknown_phase_is_refused():
    with pytest.raises(ValueError, match="no phase 'automatic' to keep"):
        MaskFilter(phases=["automatic"])
