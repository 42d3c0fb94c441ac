"""A value of a wrong type is one sentence with its key, not an error deep inside."""

from collections.abc import Sequence
from typing import Any, Literal

import pytest

from sam_train.config_types import check_lowest, check_types, fits

SCENES = {"_target_": "sam_train.data.scenes.SceneSet", "_partial_": True}


@pytest.mark.parametrize(
    ("node", "key"),
    [
        ({"_target_": "sam_train.modeling.build.build_sam_tiny", "image_size": "x"}, "image_size"),
        ({"_target_": "data_engine.executors.local.LocalExecutor", "workers": True}, "workers"),
        ({"_target_": "data_engine.pool.Pool", "sets": [], "order": "sorted"}, "order"),
        (
            {"_target_": "data_engine.pool.single_set_pool", "image_set": SCENES, "count": "x"},
            "count",
        ),
    ],
)
def test_a_value_of_a_wrong_type_is_named(node: dict, key: str) -> None:
    with pytest.raises(ValueError, match=f"^outer.{key} is "):
        check_types({"outer": node})


@pytest.mark.parametrize(
    ("value", "hint", "allowed"),
    [
        (1, float, True),
        (1.5, int, False),
        (None, int | None, True),
        ("latest", int | Literal["latest"], True),
        ("newest", int | Literal["latest"], False),
        ("x", dict[str, int], True),
        ([1, 2], Sequence[int], True),
        ([1, "a"], Sequence[int], False),
        (1, list[int], False),
    ],
)
def test_a_value_fits_its_annotation(value: Any, hint: Any, allowed: bool) -> None:
    assert fits(value, hint) is allowed


def test_a_number_that_is_too_low_is_named() -> None:
    check_lowest({"seed": 0, "threads": None}, {"seed": 0, "threads": 1, "workers": 1})
    with pytest.raises(ValueError, match=r"^rounds\.2\.images is -1, but must be at least 0$"):
        check_lowest({"images": -1}, {"images": 0}, "rounds.2")
