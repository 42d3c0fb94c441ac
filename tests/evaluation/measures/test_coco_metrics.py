import numpy as np
import pytest

from sam_train.evaluation.measures.average_precision import ScoredMatches, average_precision
from sam_train.evaluation.measures.coco_matching import match, recalls

ONE = np.array([0.5])


def none(count: int) -> np.ndarray:
    return np.zeros(count, bool)


def test_the_best_score_takes_first_and_a_taken_object_is_gone():
    ious = np.array([[0.6, 0.7], [0.55, 0.9]])

    assert match(ious, none(2), none(2), ONE).tolist() == [[1, 0]]


def test_the_threshold_itself_is_reached():
    assert match(np.array([[0.5]]), none(1), none(1), ONE).tolist() == [[0]]


def test_ignored_objects_are_taken_last_and_crowds_many_times():
    ious = np.array([[0.6, 0.9], [0.6, 0.9], [0.1, 0.9]])
    ignored = np.array([False, True])

    assert match(ious, ignored, ignored, ONE).tolist() == [[0, 1, 1]]
    assert match(ious, ignored, none(2), ONE).tolist() == [[0, 1, -1]]


def test_recall_is_the_share_of_thresholds():
    # .72 reaches .50, .55, .60, .65 and .70.
    assert recalls(np.array([[0.72, 0.0], [0.1, 1.0]])).tolist() == [0.5, 1.0]
    assert recalls(np.zeros((0, 2))).tolist() == [0, 0]


def scored(scores: list[float], matched: list[bool], objects: int) -> ScoredMatches:
    return ScoredMatches(
        np.array(scores), np.array([matched], bool), np.zeros((1, len(scores)), bool), objects
    )


def test_ap_of_right_wrong_right():
    # Precision 1 up to recall 1/2 (51 points of 101), 2/3 up to 1 (50 points).
    found = average_precision([scored([0.9, 0.7], [True, True], 2), scored([0.8], [False], 0)])

    assert found == pytest.approx([(51 * 1 + 50 * 2 / 3) / 101])


def test_ap_of_what_cannot_be_found_is_no_number():
    assert average_precision([scored([0.9], [False], 0)]) is None
    assert average_precision([scored([], [], 3)]).tolist() == [0]
