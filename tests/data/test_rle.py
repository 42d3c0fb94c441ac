import re

import numpy as np
import pytest
from pycocotools import mask as coco

from sam_train.data.rle import (
    decode_rle,
    encode_mask,
    resize_rle,
    resize_rles,
    rle_area,
    rle_box,
    rle_iou,
    rle_runs,
    sample_rle,
    sample_rles,
)


def random_mask(seed: int) -> np.ndarray:
    """Noise, blobs, stripes, full and empty masks of every proportion."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 70, 2)
    rows, columns = np.mgrid[:height, :width]
    kinds = [
        rng.random((height, width)) < rng.random(),
        (rows - rng.integers(height)) ** 2 + (columns - rng.integers(width)) ** 2 < 100,
        rows * 0 + columns % 3 == 0,
        (rows + columns) % 2 == 0,
        np.ones((height, width), bool),
        np.zeros((height, width), bool),
    ]
    return kinds[seed % len(kinds)]


def coco_encode(mask: np.ndarray) -> dict:
    rle = coco.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


@pytest.mark.parametrize("first", range(0, 300, 60))
def test_encoding_equals_pycocotools_and_decoding_is_its_inverse(first):
    for seed in range(first, first + 60):
        mask = random_mask(seed)
        rle = encode_mask(mask)
        assert rle == coco_encode(mask)
        assert np.array_equal(decode_rle(rle), mask)
        assert rle_area(rle) == mask.sum() == coco.area(rle)


def test_a_known_box_changes_nothing():
    for seed in range(60):
        mask = random_mask(seed)
        left, top, right, bottom = rle_box(encode_mask(mask)).astype(int).tolist()
        larger = max(left - 3, 0), max(top - 2, 0), right + 1, bottom + 1
        assert encode_mask(mask, box=(left, top, right, bottom)) == coco_encode(mask)
        assert encode_mask(mask, box=larger) == coco_encode(mask)


def test_any_layout_of_memory_is_encoded():
    mask = np.random.default_rng(0).random((33, 47)) < 0.3
    for view in (np.asfortranarray(mask), mask.T, mask[::2, ::3], mask[::-1], mask[5:6, 40:]):
        assert encode_mask(view) == coco_encode(view)


@pytest.mark.parametrize("first", range(0, 300, 60))
def test_resizing_runs_equals_resizing_pixels(first):
    for seed in range(first, first + 60):
        mask = random_mask(seed)
        height, width = np.random.default_rng(seed + 10_000).integers(1, 90, 2).tolist()
        rows = np.floor((np.arange(height) + 0.5) * mask.shape[0] / height).astype(int)
        columns = np.floor((np.arange(width) + 0.5) * mask.shape[1] / width).astype(int)
        resized = resize_rle(encode_mask(mask), (height, width))
        assert np.array_equal(resized, mask[rows][:, columns])


def test_columns_may_be_sampled_in_any_order():
    mask = random_mask(1)
    rows = np.sort(np.random.default_rng(0).integers(0, mask.shape[0], 40))
    columns = np.random.default_rng(1).integers(0, mask.shape[1], 50)
    assert np.array_equal(sample_rle(encode_mask(mask), rows, columns), mask[rows][:, columns])


def test_crop_and_flip_come_straight_from_the_runs():
    for seed in range(60):
        mask = random_mask(seed)
        height, width = mask.shape
        rows, columns = np.arange(height // 4, height), np.arange(width // 3, width - width // 5)
        cropped = mask[height // 4 :, width // 3 : width - width // 5]
        rle = encode_mask(mask)
        assert np.array_equal(sample_rle(rle, rows, columns), cropped)
        assert np.array_equal(sample_rle(rle, rows, columns[::-1]), cropped[:, ::-1])


def test_many_masks_are_sampled_as_one_by_one():
    rng = np.random.default_rng(0)
    masks = [rng.random((40, 50)) < share for share in (0, 0.01, 0.5, 0.99, 1)]
    rles = [encode_mask(mask) for mask in masks]
    for columns in (np.arange(3, 50, 2), np.arange(49, -1, -3), np.array([7, 7, 2])):
        rows = np.arange(1, 40, 3)
        out = np.zeros((5, 20, 60), bool)
        sampled = sample_rles(rles, rows, columns)
        assert np.array_equal(sampled, [mask[rows][:, columns] for mask in masks])
        assert sample_rles(rles, rows, columns, out=out) is out
        assert np.array_equal(out[:, : len(rows), : len(columns)], sampled)
        assert out.sum() == sampled.sum()
    assert np.array_equal(resize_rles(rles, (7, 9))[2], resize_rle(rles[2], (7, 9)))
    assert resize_rles([], (7, 9)).shape == (0, 7, 9)


def test_the_broken_one_of_many_masks_is_named():
    sound = encode_mask(np.eye(4, dtype=bool))
    for counts in ("`", "04", "oooooooooo0", "\x00"):
        broken = {"size": [4, 4], "counts": counts}
        with pytest.raises(ValueError, match=re.escape(repr(counts))):
            resize_rles([sound, broken, sound], (2, 2))


def test_masks_of_two_sizes_are_not_sampled_at_once():
    small, large = (encode_mask(np.ones((n, n), bool)) for n in (3, 4))
    with pytest.raises(ValueError, match="different sizes"):
        resize_rles([small, large], (2, 2))


def test_a_large_mask_survives_the_round_trip():
    mask = np.zeros((3000, 4000), bool)
    mask[2990:, 3990:] = True
    mask[5, 7] = True
    rle = encode_mask(mask)
    assert rle == coco_encode(mask)
    assert resize_rle(rle, (300, 400))[299, 399]


def test_the_box_has_exclusive_ends():
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:9] = True
    assert rle_box(encode_mask(mask)).tolist() == [3, 2, 9, 5]
    assert rle_box(encode_mask(np.zeros((4, 4), bool))).tolist() == [0, 0, 0, 0]


def test_iou_of_every_pair():
    left, both = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    left[:, :2] = True
    iou = rle_iou([encode_mask(left), encode_mask(both)], [encode_mask(both)])
    assert iou.tolist() == [[0.5], [1.0]]
    assert rle_iou([], [encode_mask(both)]).shape == (0, 1)


def test_masks_of_two_sizes_have_no_iou():
    small, large = (encode_mask(np.ones((n, n), bool)) for n in (3, 4))
    with pytest.raises(ValueError, match="different sizes"):
        rle_iou([small], [large])


@pytest.mark.parametrize(
    "counts", ["", "5", "`", "\x7f", "é", "O", "0000", "ooooooooooooo0", b"04", [0, 4], None]
)
def test_broken_counts_are_refused(counts):
    with pytest.raises(ValueError, match="RLE"):
        rle_runs({"size": [2, 2], "counts": counts})


@pytest.mark.parametrize(
    "size",
    [[0, 4], [-2, -2], [2.0, 2.0], [4], [1, 2, 2], "22", None, [2**40, 2**40], [1, 70_000]],
)
def test_a_size_that_no_mask_has_is_refused(size):
    with pytest.raises(ValueError, match="The size of an RLE must be"):
        rle_runs({"size": size, "counts": "04"})


def test_runs_so_long_that_their_sum_wraps_around_are_refused():
    growing = ("o" * 7 + "?") * 9000  # each 2**39 - 1 more than the one two places before
    with pytest.raises(ValueError, match="must sum to 2 x 2"):
        rle_runs({"size": [2, 2], "counts": growing})


def test_runs_start_with_background():
    assert rle_runs(encode_mask(np.ones((2, 2), bool))).tolist() == [0, 4]
