"""What the filters of the fully automatic phase left, as its report tells it."""

import pytest

from data_engine.phases.filter_steps import emptied, steps_left


def test_the_steps_are_in_the_order_of_the_filters_and_without_other_counts() -> None:
    counts = {"added": 2, "duplicates": 1, "kept": 3, "confident": 5, "decoded": 9}

    assert list(steps_left(counts)) == ["decoded", "confident", "kept", "added"]


def test_a_phase_without_filters_has_no_steps() -> None:
    assert steps_left({"added": 2, "duplicates": 1, "moved_on": 0}) == {}


@pytest.mark.parametrize(
    ("left", "setting"),
    [
        ({"decoded": 3072, "confident": 0, "stable": 0}, "phase.generator.pred_iou_thresh"),
        ({"decoded": 30, "kept": 4, "added": 0}, "phase.duplicate_iou"),
    ],
)
def test_the_filter_that_left_nothing_is_named(left: dict[str, int], setting: str) -> None:
    assert setting in (emptied(left) or "")


def test_nothing_is_said_where_masks_are_left() -> None:
    assert emptied({"decoded": 30, "added": 1}) is None
