import numpy as np

from sam_train.evaluation.overlays import (
    CLICK_COLOURS,
    overlay_clicks,
    overlay_instances,
    overlay_mask,
    overlay_outline,
    thumbnail,
)

GREY = np.full((40, 60, 3), 128, np.uint8)
LEFT = np.zeros((40, 60), bool)
LEFT[:, :30] = True


def test_only_the_mask_is_tinted():
    drawn = overlay_mask(GREY, LEFT)

    assert (drawn[:, 30:] == 128).all()
    assert (drawn[:, :30] != 128).any(2).all()
    assert (GREY == 128).all()


def test_a_mask_of_another_size_is_stretched():
    assert (overlay_mask(GREY, LEFT[::2, ::2]) == overlay_mask(GREY, LEFT)).all()


def test_the_outline_leaves_the_inside_alone():
    drawn = overlay_outline(GREY, LEFT)

    assert (drawn[5:35, 5:25] == 128).all()
    assert (drawn[:, 29] == 255).all()


def test_clicks_show_their_label_where_they_were_set():
    drawn = overlay_clicks(GREY, [(20.0, 20.0, 1), (80.0, 40.0, 0), (0.0, 0.0, -1)], (80, 120))

    assert tuple(drawn[10, 10]) == CLICK_COLOURS[1]
    assert tuple(drawn[20, 40]) == CLICK_COLOURS[0]
    assert (drawn[0, 0] == 128).all()  # the mask had no error left


def test_small_instances_lie_on_top_of_large_ones():
    dot = np.zeros((40, 60), bool)
    dot[10:14, 10:14] = True

    drawn = overlay_instances(GREY, [dot, LEFT])

    assert tuple(drawn[12, 12]) != tuple(drawn[30, 12])


def test_a_thumbnail_is_never_larger_than_the_image():
    assert thumbnail(GREY, 30).shape == (20, 30, 3)
    assert thumbnail(GREY, 500).shape == GREY.shape
