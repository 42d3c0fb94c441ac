import numpy as np
import pytest

from sam_train.evaluation.measures.boundaries.boundary_matching import (
    BoundaryCounts,
    count_matches,
    near_pixels,
    pair_in_order,
)
from sam_train.evaluation.measures.boundaries.boundary_scores import (
    average_precision,
    boundary_scores,
    recall_at_half,
)
from sam_train.evaluation.measures.boundaries.edge_maps import (
    normalised,
    outer_boundary,
    sobel_magnitude,
    thin_edges,
)

TWO = np.array([0.5, 0.9])  # thresholds


def line(column: int, size: tuple[int, int] = (60, 80)) -> np.ndarray:
    """One vertical line of 60 pixels; the diagonal is 100, so a pair is at most 0.75 apart."""
    drawing = np.zeros(size, bool)
    drawing[:, column] = True
    return drawing


def test_a_line_finds_itself_and_not_its_neighbour():
    counts = count_matches(line(20) * 0.7, [line(20), line(21)], TWO)

    assert counts.found.tolist() == [60, 0]
    assert counts.drawn == 120
    assert counts.right.tolist() == [60, 0]
    assert counts.predicted.tolist() == [60, 0]


def test_a_pixel_within_the_distance_is_a_pair():
    shifted = count_matches(line(20) * 1.0, [line(22)], TWO, max_distance=0.02)

    assert shifted.found.tolist() == [60, 60]


def test_no_drawn_pixel_is_in_two_pairs():
    thick = np.maximum(line(19) * 0.6, line(20) * 1.0)

    counts = count_matches(thick, [line(20)], TWO, max_distance=0.02)

    assert counts.predicted.tolist() == [120, 60]
    assert counts.right.tolist() == [60, 60]


def test_a_predicted_pixel_is_right_if_anyone_drew_it():
    both = np.maximum(line(10), line(40)) * 0.8

    counts = count_matches(both, [line(10), line(40)], TWO)

    assert counts.right.tolist() == [120, 0]  # precision 1
    assert counts.found.tolist() == [120, 0]  # recall 1


def test_pairs_are_as_many_as_possible_for_every_start_of_the_list():
    # The first takes partner 0, must give it to the second, and moves to 1; the third has none.
    assert pair_in_order([[0, 1], [0], [0], [], [2]]).tolist() == [True, True, False, False, True]


def test_pairs_equal_an_exhaustive_search_on_random_graphs():
    rng = np.random.default_rng(0)
    for _ in range(200):
        partners = [np.nonzero(rng.random(5) < 0.3)[0].tolist() for _ in range(6)]
        for count in range(1, 7):
            assert pair_in_order(partners[:count]).sum() == most_pairs(partners[:count], set())


def most_pairs(partners: list[list[int]], taken: set[int]) -> int:
    if not partners:
        return 0
    rest = partners[1:]
    with_first = [1 + most_pairs(rest, taken | {p}) for p in partners[0] if p not in taken]
    return max([most_pairs(rest, taken), *with_first])


def test_near_pixels_are_listed_nearest_first():
    drawing = np.zeros((5, 5), bool)
    drawing[2, 2] = drawing[2, 4] = drawing[0, 0] = True  # numbered row by row: 1, 2, 0

    assert near_pixels(np.array([2]), np.array([3]), drawing, radius=1.0) == [[1, 2]]
    assert near_pixels(np.array([2]), np.array([2]), drawing, radius=2.9) == [[1, 2, 0]]


def counts(found: list[int], drawn: int, right: list[int], predicted: list[int]) -> BoundaryCounts:
    return BoundaryCounts(np.array(found), drawn, np.array(right), np.array(predicted))


def test_ods_sums_counts_and_ois_lets_each_image_choose():
    images = [counts([8, 4], 10, [8, 4], [16, 4]), counts([9, 2], 10, [9, 2], [9, 2])]

    scores = boundary_scores(images)

    # First threshold: recall 17/20, precision 17/25; second: 6/20 and 6/6.
    assert scores["ods"] == pytest.approx(2 * 0.85 * 0.68 / (0.85 + 0.68))
    # The first image alone: F 2*.8*.5/1.3 = .615 against 2*.4/1.4 = .571; both take the first.
    assert scores["ois"] == pytest.approx(scores["ods"])
    assert scores["ods_recall"] == pytest.approx(0.85)


def test_ap_is_the_area_under_precision_and_recall():
    recall, precision = np.array([0.5, 0.25, 0.0]), np.array([0.5, 1.0, 0.0])

    # 101 points: from .25 to .5 the line falls from 1 to .5; nothing outside.
    line = np.interp(np.linspace(0.25, 0.5, 26), [0.25, 0.5], [1.0, 0.5])
    assert average_precision(recall, precision) == pytest.approx(line.sum() / 100)


def test_r50_is_the_recall_where_precision_falls_to_one_half():
    assert recall_at_half(np.array([0.8, 0.4]), np.array([0.3, 0.7])) == pytest.approx(0.6)
    assert recall_at_half(np.array([0.8, 0.4]), np.array([0.6, 0.7])) == pytest.approx(0.8)
    assert recall_at_half(np.array([0.8]), np.array([0.3])) == 0


def test_sobel_of_a_step_is_four_times_its_height():
    step = np.zeros((9, 9), np.float32)
    step[:, 5:] = 1

    magnitude = sobel_magnitude(step)

    assert magnitude[4].tolist() == [0, 0, 0, 0, 4, 4, 0, 0, 0]


def test_the_outer_boundary_goes_around_corners():
    mask = np.zeros((9, 9), bool)
    mask[3:5, 3:5] = True

    assert outer_boundary(mask).sum() == 4 * 4 - 2 * 2


def test_thinning_leaves_the_ridge():
    x = np.arange(60)
    ridge = np.exp(-(((x - 30) / 3.0) ** 2)) * np.ones((60, 1))

    thin = thin_edges(ridge.astype(np.float32))

    assert thin[30].nonzero()[0].tolist() == [30]
    assert thin[30, 30] == pytest.approx(1)
    assert thin[0].max() == 0  # the image's border


def test_a_flat_map_has_no_edges():
    assert normalised(np.full((4, 4), 0.3, np.float32)).max() == 0


def test_strengths_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="finite"):
        count_matches(np.full((20, 20), np.nan), [line(2, (20, 20))])
