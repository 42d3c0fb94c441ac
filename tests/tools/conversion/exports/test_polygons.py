import hypothesis.extra.numpy as arrays
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sam_train.data.rle import decode_rle
from sam_train.data.sets.coco_set import coco_rle
from tools.conversion.exports.polygons import mask_polygons

shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))


@settings(max_examples=300)
@given(arrays.arrays(bool, shapes))
def test_pycocotools_paints_the_polygons_back_to_the_same_pixels(mask: np.ndarray) -> None:
    polygons = mask_polygons(mask)

    assert np.array_equal(decode_rle(coco_rle(polygons, mask.shape)), mask)
    assert all(len(polygon) >= 8 for polygon in polygons)


def test_a_ring_is_cut_through_its_hole() -> None:
    ring = np.ones((5, 6), bool)
    ring[1:4, 1:5] = False

    left, right = mask_polygons(ring)

    assert (min(left[::2]), max(left[::2])) == (0, 2)
    assert (min(right[::2]), max(right[::2])) == (2, 6)


def test_a_rectangle_has_four_corners() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:5, 3:8] = True

    (polygon,) = mask_polygons(mask)

    assert sorted(zip(polygon[::2], polygon[1::2], strict=True)) == [(3, 2), (3, 5), (8, 2), (8, 5)]
