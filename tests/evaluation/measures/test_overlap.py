import cv2
import numpy as np
import pytest

from sam_train.evaluation.measures.overlap import boundary_band, iou


def square(x0: int, y0: int, x1: int, y1: int, size: tuple[int, int] = (60, 80)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_iou_of_shifted_squares():
    assert iou(square(0, 0, 10, 10), square(5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert iou(square(0, 0, 0, 0), square(0, 0, 0, 0)) == 0


def test_the_band_is_two_percent_of_the_diagonal_wide():
    band = boundary_band(square(10, 10, 30, 30))  # 2 % of 100 pixels

    assert band.sum() == 20**2 - 16**2


def test_the_border_of_the_image_ends_a_mask():
    assert boundary_band(square(0, 0, 80, 60)).sum() == 60 * 80 - 56 * 76


def test_boundary_iou_sees_what_iou_hardly_does():
    big, dented = square(10, 10, 50, 50), square(10, 10, 50, 50)
    dented[10:50, 10:12] = False  # 80 of 1600 pixels

    assert iou(dented, big) == pytest.approx(0.95)
    # Bands of 2 pixels: 304 and 296; three sides but for the corners are common.
    common = 40 * 40 - 36 * 36 - 40 * 2
    assert iou(boundary_band(dented), boundary_band(big)) == pytest.approx(
        common / (304 + 296 - common)
    )


def test_the_band_equals_repeated_erosion_on_random_masks():
    rng = np.random.default_rng(0)
    for _ in range(20):
        size = tuple(rng.integers(40, 160, 2))
        noise = cv2.GaussianBlur(rng.random(size).astype(np.float32), (0, 0), 4)
        mask = noise > np.quantile(noise, rng.uniform(0.2, 0.9))
        distance = max(1, round(0.02 * float(np.hypot(*size))))
        padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)[1:-1, 1:-1]

        assert np.array_equal(boundary_band(mask), mask & (inner == 0))
