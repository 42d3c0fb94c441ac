import copy

import numpy as np
import pytest

from sam_train.data.records import annotation_from_rle, parse_record, validate_record
from sam_train.data.rle import encode_mask

MASK = np.zeros((6, 8), bool)
MASK[1:3, 2:6] = True
RECORD = {
    "image": {"image_id": 7, "width": 8, "height": 6, "file_name": "sa_7.jpg"},
    "annotations": [annotation_from_rle(encode_mask(MASK), id=3)],
}


def changed(**changes) -> dict:
    """The record, with changes to its only annotation."""
    record = copy.deepcopy(RECORD)
    record["annotations"][0] |= changes
    return record


def test_an_annotation_is_completed_from_its_mask():
    annotation = RECORD["annotations"][0]
    assert annotation["bbox"] == [2, 1, 4, 2]
    assert annotation["area"] == 8
    assert annotation["crop_box"] == [0, 0, 8, 6]
    assert "provenance" not in annotation


def test_a_sound_record_passes():
    validate_record(RECORD)
    validate_record(RECORD | {"annotations": []})


def test_sa1b_boxes_one_pixel_narrower_pass():
    validate_record(changed(bbox=[2.0, 1.0, 3.0, 1.0]))


EMPTY = encode_mask(np.zeros((6, 8), bool))


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"image": {}}, "needs the keys"),
        ({"image": {"width": 8}, "annotations": []}, "lacks file_name, height, image_id"),
        ({**RECORD, "image": []}, "image is no json object"),
        ({**RECORD, "annotations": {}}, "annotations are no json list"),
        ({**RECORD, "annotations": [{"id": 1}]}, "annotation lacks area, bbox, segmentation"),
        (changed(segmentation={"size": [8, 6], "counts": ""}), "has size"),
        (changed(segmentation=[[0, 0, 3, 0, 3, 3]]), "no run lengths"),
        (changed(segmentation={"size": [6, 8], "counts": "04"}), "must sum to 6 x 8"),
        (changed(segmentation=EMPTY, area=0), "Mask 3 is empty"),
        (changed(id=[3]), r"id of a mask is no whole number: \[3\]"),
        (changed(bbox=[1, 2, 3]), "Mask 3 has a bbox that is not four numbers"),
        (changed(bbox=[1, 2, 3, float("nan")]), "Mask 3 has a bbox"),
        (changed(bbox=[1, 2, 3, 10**400]), "Mask 3 has a bbox"),
        (changed(predicted_iou="high"), "Mask 3 has no number as its predicted_iou"),
        ({**RECORD, "image": RECORD["image"] | {"width": -8}}, r"height and width \[6, -8\]"),
        (changed(provenance={"phase": "manual"}), "Mask 3 has no phase in its .*: 'manual'"),
        (changed(provenance="me"), "Mask 3 has no phase in its provenance: None"),
        (changed(area=9), "says area 9, its pixels are 8"),
        ({**RECORD, "annotations": RECORD["annotations"] * 2}, "have the id 3"),
    ],
)
def test_a_broken_record_is_named(record, sentence):
    with pytest.raises(ValueError, match=sentence):
        validate_record(record)


def test_every_key_of_the_schema_is_asked_for():
    record = changed()
    del record["annotations"][0]["stability_score"]
    with pytest.raises(ValueError, match="Mask 3 lacks stability_score"):
        validate_record(record)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [(b"\xff{", "Not a json"), (b"[" * 100_000, "Not a json"), (b"[]", "needs the keys")],
)
def test_text_that_is_no_record_is_named(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_record(text)
