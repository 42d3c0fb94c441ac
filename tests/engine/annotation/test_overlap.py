"""Which masks show the same object."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data_engine.annotation.overlap import covered, extent_of
from sam_train.data.rle import encode_mask, rle_iou

SIDE = 6
MASKS = st.lists(arrays(bool, (SIDE, SIDE)), min_size=1, max_size=5)


@given(MASKS, st.sampled_from([0.1, 0.5, 0.75, 1.0]))
def test_a_mask_is_compared_only_where_it_can_matter(masks: list[np.ndarray], iou: float) -> None:
    mask, *others = map(encode_mask, masks)
    overlaps = rle_iou([mask], others)[0] if others else []

    found = covered(
        mask,
        others,
        extents=(extent_of(mask), [extent_of(other) for other in others]),
        duplicate_iou=iou,
    )

    assert found == next((place for place, value in enumerate(overlaps) if value >= iou), None)
