"""Which images measure the annotators."""

from dataclasses import replace

import pytest

from data_engine.people.tasks.gold import gold_images
from data_engine.pool import Pool
from sam_train.data.scenes import SceneSet


def test_gold_images_stay_gold_when_the_pool_grows() -> None:
    few, many = (Pool([SceneSet("scenes", count, image_size=64)]) for count in (10, 20))

    gold = gold_images(few, 0.3)

    assert set(gold) <= set(gold_images(many, 0.3))
    assert 0 < len(gold) < 10


def test_a_small_share_of_a_small_pool_is_one_image() -> None:
    assert len(gold_images(Pool([SceneSet("scenes", 3, image_size=64)]), 1e-6)) == 1


def test_images_without_masks_are_no_gold() -> None:
    images = [replace(image, masks=list) for image in SceneSet("scenes", 3, image_size=64)]

    with pytest.raises(ValueError, match="no image of the pool came with any"):
        gold_images(Pool.of_images("scenes", images), 0.5)
