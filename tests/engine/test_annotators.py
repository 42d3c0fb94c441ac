"""The simulated annotator: order, time, provenance."""

from typing import Any

import numpy as np
import pytest

from data_engine.annotation.annotators import NoAnnotator, SimulatedAnnotator
from data_engine.annotation.prominence import prominence
from data_engine.annotation.provenance import Stamp
from data_engine.annotation.task import Task, TaskPredictor
from data_engine.annotation.time_model import AnnotationTime, brush_strokes
from sam_train.data.records import annotation_from_rle
from sam_train.data.rle import Rle, decode_rle, encode_mask, rle_iou

SIZE = 64


def square(top: int, left: int, side: int) -> Rle:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[top : top + side, left : left + side] = True
    return encode_mask(mask)


LARGE, SMALL, CORNER = square(16, 16, 32), square(4, 30, 6), square(0, 0, 4)


def picture() -> np.ndarray:
    image = np.full((SIZE, SIZE, 3), 40, np.uint8)
    for rle in (LARGE, SMALL, CORNER):
        image[decode_rle(rle)] = 220
    return image


@pytest.fixture
def task() -> Task:
    return Task("key", picture())


def annotator(predictor: TaskPredictor, stamp: Stamp, **changes: Any) -> SimulatedAnnotator:
    """One that an untrained model cannot help: it brushes, however long that takes."""
    settings = {"max_clicks": 2, "seconds_per_mask_limit": 1e9} | changes
    return SimulatedAnnotator(
        predictor, stamp, known_masks=lambda key: [CORNER, SMALL, LARGE], **settings
    )


def test_objects_are_labelled_in_order_of_prominence(
    predictor: TaskPredictor, stamp: Stamp, task: Task
) -> None:
    added = annotator(predictor, stamp).annotate(task, []).added

    assert [a["segmentation"]["counts"] for a in added] == [
        rle["counts"] for rle in (LARGE, SMALL, CORNER)
    ]


def test_a_brushed_mask_is_the_known_mask_and_says_how_it_was_made(
    predictor: TaskPredictor, stamp: Stamp, task: Task
) -> None:
    first = annotator(predictor, stamp).annotate(task, []).added[0]
    provenance = first["provenance"]
    prompts = provenance["prompts"]

    assert rle_iou([first["segmentation"]], [LARGE])[0, 0] == 1
    assert [p["type"] for p in prompts[:3]] == ["point", "point", "brush"]
    assert prompts[0]["coords"] == first["point_coords"][0]
    assert decode_rle(LARGE)[int(prompts[0]["coords"][1]), int(prompts[0]["coords"][0])]
    assert [p["time_s"] for p in prompts] == sorted(p["time_s"] for p in prompts)
    assert provenance["seconds"] == prompts[-1]["time_s"] > 3
    assert (provenance["phase"], provenance["round"]) == ("assisted_manual", 1)
    assert (provenance["annotator"], provenance["model_sha256"]) == ("simulated", "model")
    assert provenance["review"] == {"state": "none", "reviewer": None, "iou": None}


def test_a_mask_that_is_good_after_one_click_costs_one_click(
    predictor: TaskPredictor, stamp: Stamp, task: Task
) -> None:
    easy = annotator(predictor, stamp, target_iou=0.0)

    for annotation in easy.annotate(task, []).added:
        assert [p["type"] for p in annotation["provenance"]["prompts"]] == ["point"]
        assert annotation["provenance"]["seconds"] == 3.0 + 1.5


def test_the_annotator_moves_on_when_a_mask_takes_too_long(
    predictor: TaskPredictor, stamp: Stamp, task: Task
) -> None:
    answer = annotator(predictor, stamp, seconds_per_mask_limit=5.0).annotate(task, [])

    assert answer.moved_on
    assert answer.added == []
    assert answer.seconds_elsewhere == 5.0


def test_covered_objects_are_left_out_and_wrong_prefilled_masks_removed(
    predictor: TaskPredictor, stamp: Stamp, task: Task
) -> None:
    right, wrong = annotation_from_rle(LARGE, id=1), annotation_from_rle(square(50, 2, 9), id=2)
    answer = annotator(predictor, stamp).annotate(task, [right, wrong])

    assert answer.removed_ids == {2}
    assert answer.seconds_elsewhere == 1.5
    assert [a["id"] for a in answer.added] == [3, 4]
    assert rle_iou([a["segmentation"] for a in answer.added], [LARGE]).max() == 0


def test_batches_of_objects_give_the_same_masks(
    predictor: TaskPredictor, stamp: Stamp, task: Task
) -> None:
    one, all_ = (
        annotator(predictor, stamp, masks_per_batch=n, target_iou=0.05).annotate(task, []).added
        for n in (1, 16)
    )

    assert [a["segmentation"] for a in one] == [a["segmentation"] for a in all_]


def test_nobody_adds_nothing(predictor: TaskPredictor, stamp: Stamp, task: Task) -> None:
    answer = NoAnnotator(predictor, stamp, known_masks=lambda key: [LARGE]).annotate(task, [])

    assert answer.added == []


def test_an_image_is_encoded_once_for_a_task(predictor: TaskPredictor, task: Task) -> None:
    predictor.set_task(task)
    features = predictor.features
    predictor.set_task(task)

    assert predictor.features is features


def test_near_errors_are_one_stroke_and_far_ones_two() -> None:
    mask, known = decode_rle(LARGE), decode_rle(LARGE).copy()
    known[20, 20] = known[20, 23] = False  # wrongly in the mask
    known[60, 60] = True  # missing

    strokes = brush_strokes(mask, known, radius=2.0)

    assert sorted(stroke.label for stroke in strokes) == [0, 1]
    assert strokes[0].length > strokes[1].length


def test_brushing_an_image_shown_larger_takes_longer() -> None:
    (stroke,) = brush_strokes(decode_rle(LARGE), np.zeros((SIZE, SIZE), bool), radius=0.0)
    time = AnnotationTime(seconds_per_stroke=1.0, stroke_pixels_per_second=100.0)

    assert stroke.length == 2 * 31  # half the outline
    assert time.stroke_seconds(stroke, (1000, 1000)) == pytest.approx(1 + 0.62)
    assert time.stroke_seconds(stroke, (500, 250)) == pytest.approx(1 + 1.24)


def test_an_object_that_stands_out_is_more_prominent() -> None:
    image = picture()
    flat = np.full_like(image, 40)

    assert prominence(image, decode_rle(SMALL)) > prominence(flat, decode_rle(SMALL))
    assert prominence(image, decode_rle(SMALL)) > prominence(image, decode_rle(CORNER))
