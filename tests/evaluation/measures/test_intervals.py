import numpy as np
import pytest

from sam_train.evaluation.measures.calibration import calibration_bins, calibration_error
from sam_train.evaluation.measures.intervals import (
    mean_interval,
    set_means,
    summary_intervals,
)


def row(key: str, iou: float, name: str = "s", mask_id: int = 0) -> dict:
    return {"set": name, "key": key, "mask_id": mask_id, "iou": iou}


def test_the_interval_holds_the_mean_and_is_the_same_every_time():
    rows = [row(str(n), value) for n, value in enumerate(np.linspace(0, 1, 50))]

    interval = mean_interval(rows, "iou")

    # The standard error of 50 numbers spread evenly over [0, 1] is .29 / 7.07 = .042.
    assert interval.low == pytest.approx(0.5 - 1.96 * 0.0417, abs=0.02)
    assert interval.high == pytest.approx(0.5 + 1.96 * 0.0417, abs=0.02)
    assert mean_interval(rows[::-1], "iou") == interval


def test_the_interval_of_a_summary_is_that_of_its_draws():
    rows = [row(str(n), value) for n, value in enumerate(np.linspace(0, 1, 50))]

    def summarise_set(found: list[dict]) -> dict:
        values = [r["iou"] for r in found]
        return {"images": 1, "masks": 1, "mean_iou": np.mean(values), "half": len(values) / 100}

    found = summary_intervals(rows, summarise_set, ["mean_iou", "half"])

    assert found["mean_iou"].low == pytest.approx(0.5 - 1.96 * 0.0417, abs=0.03)
    assert found["mean_iou"].high == pytest.approx(0.5 + 1.96 * 0.0417, abs=0.03)
    assert (found["half"].low, found["half"].high) == (0.5, 0.5)  # as many images in every draw
    assert summary_intervals(rows[::-1], summarise_set, ["mean_iou", "half"]) == found
    assert summary_intervals(rows, summarise_set, []) == {}


def test_masks_of_one_image_are_drawn_together():
    alone = [row(str(n), float(n % 2)) for n in range(40)]
    together = [row(str(n % 2), float(n % 2), mask_id=n) for n in range(40)]

    assert mean_interval(together, "iou").low == 0  # only two images
    assert mean_interval(alone, "iou").low > 0.3


def test_a_mean_over_sets_weighs_them_alike():
    rows = [row("a", 1.0, "one"), *(row(str(n), 0.0, "many") for n in range(9))]

    assert set_means(rows, "iou").mean() == pytest.approx(0.5)


def test_calibration_is_the_weighted_gap_between_predicted_and_true():
    predicted, true = [0.95, 0.95, 0.15, 0.12], [0.55, 0.75, 0.15, 0.22]

    bins = calibration_bins(predicted, true)

    assert [(b.masks, b.predicted, b.true) for b in bins] == [
        (2, pytest.approx(0.135), pytest.approx(0.185)),
        (2, pytest.approx(0.95), pytest.approx(0.65)),
    ]
    assert calibration_error(predicted, true) == pytest.approx((2 * 0.05 + 2 * 0.3) / 4)


def test_a_prediction_beyond_one_goes_to_the_last_bin():
    assert calibration_error([1.2], [0.7]) == pytest.approx(0.5)
