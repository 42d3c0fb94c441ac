import numpy as np
import pytest
from segment_anything.utils import amg

from sam_train.inference.point_grid import build_layer_grids, build_point_grid, layer_crops


def test_a_grid_of_two_has_the_four_quarter_centres_row_by_row() -> None:
    expected = [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    assert build_point_grid(2).tolist() == expected


@pytest.mark.parametrize("settings", [(32, 0, 1), (32, 2, 2), (7, 1, 3)])
def test_the_grids_of_all_layers_equal_the_official_ones(settings: tuple[int, int, int]) -> None:
    official = amg.build_all_layer_point_grids(*settings)
    np.testing.assert_equal(build_layer_grids(*settings), official)


def test_layers_that_would_have_no_point_are_refused() -> None:
    with pytest.raises(ValueError, match=r"have \[2, 0\] points per side: raise points_per_side=2"):
        build_layer_grids(2, 1, 4)


@pytest.mark.parametrize("size", [(1500, 2250), (173, 211), (31, 1000)])
@pytest.mark.parametrize("crop_n_layers", [0, 1, 3])
def test_the_crops_equal_the_official_ones(size: tuple[int, int], crop_n_layers: int) -> None:
    boxes, layers = amg.generate_crop_boxes(size, crop_n_layers, 512 / 1500)
    crops = layer_crops(size, crop_n_layers, 512 / 1500)
    assert [(layer, list(box)) for layer, box in crops] == list(zip(layers, boxes, strict=True))


def test_the_paper_has_twenty_crops() -> None:
    assert len(layer_crops((1500, 2250), 2, 512 / 1500)) == 1 + 4 + 16
