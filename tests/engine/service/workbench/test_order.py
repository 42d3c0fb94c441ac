"""In which order people get images."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_engine.pool import Pool, to_sample
from data_engine.service.workbench.embeddings import Embeddings
from data_engine.service.workbench.order import (
    MostDisagreeing,
    Order,
    farthest_first,
    grid_masks,
    most_diverse,
    most_uncertain,
    overlap,
    shuffled,
)
from sam_train.data.images import read_image
from sam_train.data.scenes import SceneSet
from sam_train.inference.predictor import SamPredictor
from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.checkpoint import save_model
from sam_train.modeling.sam import Sam


@pytest.fixture
def keys() -> list[str]:
    return Pool([SceneSet("scenes", 6, image_size=64)]).keys()


@pytest.fixture
def prepare(tmp_path: Path, sam: Sam) -> Callable[[str], Any]:
    """Scenes of which the last shows the same as the first, recompressed."""
    pool = Pool([SceneSet("scenes", 6, image_size=64)])
    first, last = pool.keys()[0], pool.keys()[-1]

    def jpeg_of(key: str) -> bytes:
        shown = pool.image(first if key == last else key)
        return to_sample(shown, image_id=1, with_masks=False).image_bytes

    return Embeddings(sam, jpeg_of, tmp_path / "embeddings").get


def test_without_a_policy_no_image_is_looked_at(keys: list[str]) -> None:
    def unreadable(key: str) -> Any:
        raise AssertionError(key)

    assert Order()(keys, unreadable) == (keys, {})


@pytest.mark.parametrize("policy", [shuffled, partial(most_uncertain, points_per_side=2)])
def test_every_image_is_in_the_order_once_and_twins_come_last(
    policy: Any, keys: list[str], prepare: Callable[[str], Any]
) -> None:
    ordered, twins = Order(policy, drop_near_duplicates=True, considered=6)(keys, prepare)

    assert sorted(ordered) == sorted(keys)
    assert twins == {keys[-1]: keys[0]}
    assert ordered[-1] == keys[-1]


def test_what_is_not_considered_follows_as_it_came(
    keys: list[str], prepare: Callable[[str], Any]
) -> None:
    ordered, _ = Order(most_diverse, considered=3)(keys, prepare)

    assert sorted(ordered[:3]) == sorted(keys[:3])
    assert ordered[3:] == keys[3:]


def test_an_image_that_cannot_be_read_is_no_hindrance(keys: list[str], prepare: Any) -> None:
    def broken(key: str) -> Any:
        if key == keys[1]:
            raise ValueError("it is damaged")
        return prepare(key)

    ordered, _ = Order(most_diverse)(keys, broken)

    assert sorted(ordered) == sorted(keys)


def test_the_least_trusted_image_comes_first(keys: list[str], prepare: Any) -> None:
    images = [prepare(key) for key in keys[:4]]

    ordered = most_uncertain(images, points_per_side=2)

    trust = {image.key: grid_masks(image.predictor, 2)[1].mean().item() for image in images}
    assert trust[ordered[0]] == min(trust.values())
    assert trust[ordered[-1]] == max(trust.values())


def test_the_image_on_which_two_models_agree_least_comes_first(
    keys: list[str], prepare: Any, sam: Sam, tmp_path: Path
) -> None:
    other = build_sam_tiny(image_size=64, dim=32)
    path = tmp_path / "model.safetensors"
    save_model(other, path, model="tiny", config={"image_size": 64, "dim": 32})
    images = [prepare(key) for key in keys[:4]]

    ordered = MostDisagreeing(str(path), points_per_side=2)(images)

    agreement = {}
    predictor = SamPredictor(other.eval())
    for image in images:
        predictor.set_image(read_image(image.jpeg))
        agreement[image.key] = overlap(
            grid_masks(image.predictor, 2)[0], grid_masks(predictor, 2)[0]
        )
    assert agreement[ordered[0]] == pytest.approx(min(agreement.values()))


def test_a_model_agrees_with_itself(keys: list[str], prepare: Any) -> None:
    masks, _ = grid_masks(prepare(keys[0]).predictor, 2)

    assert overlap(masks, masks) == 1.0


def test_the_farthest_point_comes_next() -> None:
    points = np.array([[0.0, 0], [1, 0], [2, 0], [10, 0], [2, 0]])

    assert farthest_first(points)[:3] == [2, 3, 0]
    assert sorted(farthest_first(points)) == [0, 1, 2, 3, 4]
