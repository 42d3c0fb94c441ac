import cv2
import numpy as np
import pytest
import torch

from sam_train.evaluation.protocols.noc import NocProtocol, next_click, noc


def clicker_of_ritm(pred: np.ndarray, truth: np.ndarray, clicked: np.ndarray) -> tuple:
    """The rule of `isegm/inference/clicker.py` in its own words, on whole frames.

    Squared distances are whole numbers; OpenCV's are off in the last bit, which would break ties.
    """
    depths = []
    for region in (truth & ~pred, ~truth & pred):
        padded = np.pad(region, 1).astype(np.uint8)
        distance = cv2.distanceTransform(padded, cv2.DIST_L2, 0)[1:-1, 1:-1]
        depths.append(np.rint(distance.astype(np.float64) ** 2) * ~clicked)
    is_positive = depths[0].max() > depths[1].max()
    depth = depths[0] if is_positive else depths[1]
    ys, xs = np.where(depth == depth.max())
    return int(xs[0]), int(ys[0]), int(is_positive)


def random_mask(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Blobs or boxes, which make ties, often cut by the border."""
    if rng.random() < 0.5:
        x0, y0 = rng.integers(-8, 30, 2)
        mask = np.zeros(size, bool)
        mask[max(0, y0) : y0 + rng.integers(9, 30), max(0, x0) : x0 + rng.integers(9, 30)] = True
        return mask
    noise = cv2.GaussianBlur(rng.random(size).astype(np.float32), (0, 0), 3)
    return noise > np.quantile(noise, rng.uniform(0.3, 0.8))


def test_the_next_click_is_ritms_on_500_random_cases():
    rng = np.random.default_rng(0)
    compared = 0
    while compared < 500:
        size = tuple(rng.integers(20, 60, 2))
        truth, pred = random_mask(rng, size), random_mask(rng, size)
        clicked = np.zeros(size, bool)
        for _ in range(4):  # the same mask again and again: clicked pixels count no more
            if not (truth ^ pred).any():
                break
            expected = clicker_of_ritm(pred, truth, clicked.copy())
            assert next_click(pred, truth, clicked) == expected
            compared += 1


def test_a_tie_goes_to_the_background():
    truth, pred = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    truth[2:7, 2:7] = True
    pred[12:17, 12:17] = True

    assert next_click(pred, truth, np.zeros((20, 20), bool)) == (14, 14, 0)


def test_the_border_of_the_image_is_outside():
    truth = np.zeros((20, 20), bool)
    truth[:, :5] = True

    assert next_click(~truth & False, truth, np.zeros((20, 20), bool)) == (2, 2, 1)


def test_without_an_error_nothing_is_clicked():
    truth = np.ones((20, 20), bool)
    clicked = np.zeros((20, 20), bool)

    assert next_click(truth, truth, clicked)[2] == -1
    assert not clicked.any()


def test_noc_is_the_first_click_that_reaches_the_target():
    ious = [0.5, 0.85, 0.7, 0.92]

    assert [noc(ious, target) for target in (0.5, 0.85, 0.9, 0.95)] == [1, 2, 4, 4]


def test_an_iou_that_is_reached_at_click_20_is_a_failure():
    late, never, at_once = [0.5] * 19 + [0.95], [0.5] * 20, [0.95] * 20
    rows = [
        {"key": "a", "mask_id": n, "ious": ious, "noc_90": noc(ious, 0.9)}
        for n, ious in enumerate((late, never, at_once))
    ]

    summary = NocProtocol(targets=(0.9,)).summarise(rows)

    assert [row["noc_90"] for row in rows] == [20, 20, 1]
    assert (summary["failures_90"], summary["noc_90"]) == (2, pytest.approx(41 / 3))


def test_what_is_reached_at_the_last_click_counts_as_a_failure(squares, image_with, painted):
    truth = squares((0, 0, 10, 10), (20, 20, 40, 40), (50, 50, 60, 60))

    def change(number: int, masks: torch.Tensor) -> torch.Tensor:
        """The first mask is right at once, the second at the third click, the last never."""
        right = torch.tensor([True, number >= 2, False])
        return masks & right[:, None, None, None]

    protocol = NocProtocol(max_clicks=3, targets=(0.9,))
    rows = protocol.evaluate(painted(truth[:, None], change=change), image_with(truth))
    summary = protocol.summarise(rows)

    assert [row["noc_90"] for row in rows] == [1, 3, 3]
    assert summary["noc_90"] == pytest.approx(7 / 3)
    assert summary["failures_90"] == 2
    assert summary["curve"] == pytest.approx([1 / 3, 1 / 3, 2 / 3])


def test_the_first_click_is_the_centre_and_ignored_pixels_are_never_clicked(
    squares, image_with, painted
):
    truth, ignored = squares((0, 0, 11, 11)), squares((30, 30, 60, 60))[0].numpy()
    model = painted(squares((30, 30, 60, 60))[None])

    (row,) = NocProtocol(max_clicks=2).evaluate(model, image_with(truth, ignored=ignored))

    assert row["clicks"][0] == [5, 5, 1]
    assert row["clicks"][1][2] == 1  # still of what is missed, beside the first
    assert row["clicks"][1] != [5, 5, 1]
