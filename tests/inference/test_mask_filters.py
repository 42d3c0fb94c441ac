import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from segment_anything.utils import amg

from sam_train.inference.automatic.small_regions import remove_small_regions
from sam_train.inference.mask_filters import (
    stability_score,
    suppress_duplicates,
    touches_crop_edge,
)
from sam_train.interaction.sampling import mask_boxes


def test_stability_is_the_overlap_of_the_two_shifted_thresholds() -> None:
    logits = torch.tensor([[[-3.0, -0.5, 0.5, 3.0]], [[-9.0, -9.0, -9.0, 9.0]]])
    torch.testing.assert_close(stability_score(logits, 0.0, 1.0), torch.tensor([1 / 3, 1.0]))


def test_a_mask_that_is_empty_at_both_thresholds_passes_no_filter() -> None:
    score = stability_score(torch.full((1, 2, 2), -9.0), 0.0, 1.0)
    assert not (score >= 0).item()


@given(arrays(bool, st.tuples(st.just(3), st.integers(1, 9), st.integers(1, 9))))
def test_boxes_equal_the_official_ones(masks: np.ndarray) -> None:
    tensor = torch.from_numpy(masks)
    assert torch.equal(mask_boxes(tensor).long(), amg.batched_mask_to_box(tensor))


def test_only_inner_edges_of_a_crop_drop_a_mask() -> None:
    # The crop is the left half of a 400 x 200 image.
    boxes = torch.tensor([[0, 0, 90, 90], [50, 50, 185, 90], [50, 50, 179, 199]])
    touches = touches_crop_edge(boxes, (0, 0, 200, 200), original_size=(200, 400))
    assert touches.tolist() == [False, True, False]


def test_duplicates_go_to_the_better_score_and_the_best_comes_first() -> None:
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 11], [50, 50, 60, 60]])
    assert suppress_duplicates(boxes, torch.tensor([0.5, 0.6, 0.9]), 0.7) == [2, 1]


def test_a_hole_is_filled_and_an_island_removed() -> None:
    mask = np.zeros((40, 60), bool)
    mask[5:25, 5:25] = True
    disc = mask.copy()
    mask[10:12, 10:12] = False
    mask[30, 50] = True
    cleaned, found = remove_small_regions(mask, min_area=5)
    assert found
    assert np.array_equal(cleaned, disc)


def test_the_largest_island_stays_however_small() -> None:
    mask = np.zeros((9, 9), bool)
    mask[1, 1] = mask[4:6, 4:6] = True
    cleaned, found = remove_small_regions(mask, min_area=50)
    assert found
    assert cleaned.sum() == 4


@given(
    arrays(bool, st.tuples(st.integers(1, 24), st.integers(1, 24))),
    st.tuples(*[st.integers(0, 9)] * 4),
    st.integers(1, 40),
)
def test_small_regions_equal_the_official_ones_of_the_full_image(
    mask: np.ndarray, border: tuple[int, int, int, int], min_area: int
) -> None:
    top, bottom, left, right = border
    mask = np.pad(mask, ((top, bottom), (left, right)))
    filled, had_holes = amg.remove_small_regions(mask, min_area, "holes")
    expected, had_islands = amg.remove_small_regions(filled, min_area, "islands")
    cleaned, found = remove_small_regions(mask, min_area)
    assert np.array_equal(cleaned, expected)
    assert found == (had_holes or had_islands)
