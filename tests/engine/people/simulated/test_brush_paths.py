import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data_engine.people.drawing.actions import Action
from data_engine.people.drawing.drawing import painted_over
from data_engine.people.drawing.strokes import painted
from data_engine.people.simulated.brush_paths import brush_paths
from sam_train.data.rle import encode_mask

MASKS = arrays(bool, st.tuples(st.just(9), st.just(12)))


@given(MASKS, MASKS)
def test_the_strokes_turn_any_mask_into_any_other(mask: np.ndarray, known: np.ndarray) -> None:
    paths = [(path, 1) for path in brush_paths(known & ~mask, known)]
    paths += [(path, 0) for path in brush_paths(mask & ~known, ~known)]

    strokes = [
        Action(seq, 1, "brush", 1.0, "ana", tuple(path), label, radius=0.5)
        for seq, (path, label) in enumerate(paths)
    ]

    assert np.array_equal(painted(mask, strokes), known)


def test_a_block_is_one_stroke() -> None:
    block = np.zeros((9, 12), bool)
    block[2:7, 3:8] = True

    assert len(brush_paths(block, block)) == 1


@given(
    MASKS,
    st.lists(
        st.tuples(
            st.lists(st.tuples(*[st.floats(-30, 40)] * 2), min_size=1, max_size=4),
            st.integers(0, 1),
            st.sampled_from([0.5, 1.0, 2.5, 9.0]),
        ),
        max_size=3,
    ),
)
def test_painting_only_what_strokes_reach_gives_the_same_pixels(
    mask: np.ndarray, paths: list
) -> None:
    strokes = [
        Action(seq, 1, "brush", 1.0, "ana", tuple(np.ravel(path)), label, radius=radius)
        for seq, (path, label, radius) in enumerate(paths)
    ]

    whole = painted(mask, strokes)

    expected = encode_mask(whole) if whole.any() else None
    assert painted_over(encode_mask(mask), strokes, mask.shape) == expected
