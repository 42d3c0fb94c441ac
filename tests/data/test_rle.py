import numpy as np
import pytest
from pycocotools import mask as coco

from sam_train.data.rle import (
    decode_rle,
    encode_mask,
    resize_rle,
    rle_area,
    rle_box,
    rle_iou,
    rle_runs,
    sample_rle,
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


def test_runs_start_with_background():
    assert rle_runs(encode_mask(np.ones((2, 2), bool))).tolist() == [0, 4]
