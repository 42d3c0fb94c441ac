"""Which part of an image is encoded for what is in view."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_engine.people.drawing.crops import covering


@settings(max_examples=50)
@given(st.data(), st.integers(64, 3000), st.integers(64, 3000))
def test_a_crop_holds_the_view_and_is_its_own_crop(
    data: st.DataObject, height: int, width: int
) -> None:
    x0, x1 = sorted(data.draw(st.floats(0, width)) for _ in range(2))
    y0, y1 = sorted(data.draw(st.floats(0, height)) for _ in range(2))

    crop = covering((x0, y0, x1, y1), (height, width))

    if crop is not None:
        assert crop[0] <= x0 and x1 <= crop[2] <= width
        assert crop[1] <= y0 and y1 <= crop[3] <= height
        assert covering(crop, (height, width)) == crop


@pytest.mark.parametrize(
    ("view", "crop"),
    [
        ((0, 0, 1000, 800), None),
        ((10, 10, 990, 30), None),
        ((0, 0, 500, 400), (0, 0, 500, 400)),
        ((260, 210, 730, 590), (250, 200, 750, 600)),
        ((550, 440, 560, 450), (500, 400, 625, 500)),
    ],
)
def test_small_views_get_small_crops(view: tuple, crop: tuple | None) -> None:
    assert covering(view, (800, 1000)) == crop
