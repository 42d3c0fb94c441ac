"""Drawn scenes: the same for the same seed, with masks that fit together."""

from collections import defaultdict

import cv2
import numpy as np
import pytest

from sam_train.data.scenes import Scene, SceneSet, draw_scene


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(seed) for seed in range(16)]


def test_a_seed_always_draws_the_same_scene() -> None:
    first, second = draw_scene(7), draw_scene(7)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(np.stack(first.masks), np.stack(second.masks))
    assert first.levels == second.levels
    assert first.parents == second.parents


def test_seeds_draw_different_scenes(scenes: list[Scene]) -> None:
    assert len({scene.image.tobytes() for scene in scenes}) == len(scenes)


@pytest.mark.parametrize("size", [(64, 64), (120, 300), (512, 384)])
def test_scenes_come_in_any_size(size: tuple[int, int]) -> None:
    scene = draw_scene(3, size)
    assert scene.image.shape == (*size, 3)
    assert all(mask.shape == size for mask in scene.masks)


def test_a_scene_of_too_few_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 pixels"):
        draw_scene(0, (8, 256))


def test_scenes_hold_three_to_thirty_masks_of_visible_size(scenes: list[Scene]) -> None:
    assert all(3 <= len(scene.masks) <= 30 for scene in scenes)
    shares = np.array([mask.mean() for scene in scenes for mask in scene.masks])
    assert shares.min() >= 0.001
    assert shares.max() <= 0.6
    assert np.quantile(shares, 0.1) < 0.003
    assert np.quantile(shares, 0.95) > 0.1


def test_parts_lie_within_their_wholes_and_are_smaller(scenes: list[Scene]) -> None:
    for scene in scenes:
        for mask, parent in zip(scene.masks, scene.parents, strict=True):
            if parent is not None:
                assert not (mask & ~scene.masks[parent]).any()
                assert mask.sum() <= 0.9 * scene.masks[parent].sum()


def test_masks_of_one_whole_do_not_overlap(scenes: list[Scene]) -> None:
    for scene in scenes:
        siblings = defaultdict(list)
        for mask, parent in zip(scene.masks, scene.parents, strict=True):
            siblings[parent].append(mask)
        assert all(np.sum(masks, axis=0).max() <= 1 for masks in siblings.values())


def test_levels_say_how_deep_a_mask_lies(scenes: list[Scene]) -> None:
    for scene in scenes:
        for level, parent in zip(scene.levels, scene.parents, strict=True):
            above = None if parent is None else scene.levels[parent]
            assert (level, above) in {
                ("stuff", None),
                ("object", None),
                ("part", "object"),
                ("subpart", "part"),
                ("subpart", "subpart"),
            }
    assert {level for scene in scenes for level in scene.levels} == {
        "object", "part", "subpart", "stuff",
    }  # fmt: skip


def test_most_masks_can_be_seen_in_the_image(scenes: list[Scene]) -> None:
    differences = []
    for scene in scenes:
        for mask in scene.masks:
            ring = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9))).astype(bool) & ~mask
            difference = scene.image[mask].mean(0) - scene.image[ring].mean(0)
            differences.append(np.abs(difference).max())
    assert np.median(differences) > 10


def test_a_set_of_scenes_is_the_same_every_time() -> None:
    first, again = (list(SceneSet("scenes", 2, seed=3, image_size=64)) for _ in range(2))

    assert [image.key for image in first] == ["000003", "000004"]
    assert np.array_equal(first[1].load(), again[1].load())
    assert first[1].masks() == again[1].masks()
    assert first[1].masks()[0]["size"] == [64, 64]
