import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.spatial import ConvexHull

from sam_train.data.rle import encode_mask
from tools.analytics.mask_shape import mask_shapes


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_the_shape_is_that_of_the_painted_mask(mask):
    *_, shape = mask_shapes([encode_mask(np.ones((3, 4), bool)), encode_mask(mask)])
    y, x = np.nonzero(mask)
    if not len(x):
        assert shape[:4] == (0, None, None, None)
        return

    corners = [np.stack([x + right, y + down], 1) for right in (0, 1) for down in (0, 1)]
    hull_area = ConvexHull(np.concatenate(corners)).volume
    assert shape.area == mask.sum()
    assert shape.concavity == pytest.approx(1 - mask.sum() / hull_area)
    assert shape.centre_x == pytest.approx((x.min() + x.max() + 1) / 2 / mask.shape[1])
    assert shape.centre_y == pytest.approx((y.min() + y.max() + 1) / 2 / mask.shape[0])


@given(st.integers(1, 9), st.integers(1, 9))
def test_a_rectangle_is_not_concave(height, width):
    mask = np.zeros((12, 12), bool)
    mask[2 : 2 + height, 3 : 3 + width] = True
    assert mask_shapes([encode_mask(mask)])[0].concavity == 0


def test_broken_runs_are_refused():
    with pytest.raises(ValueError, match="must sum to"):
        mask_shapes([{"size": [4, 4], "counts": "1"}])
