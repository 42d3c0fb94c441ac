from collections.abc import Iterator

import pytest
import torch
from torch.nn import functional as F

from sam_train.data.run_edges import foreground_box
from sam_train.inference.automatic.enlarging import enlarged_axis, exact_logits
from sam_train.inference.automatic.outline_tiles import Levels, products_are_fp32, tiled_masks

CPU = torch.device("cpu")
GEOMETRIES = [  # low-resolution side, input frame, size in it, original size
    (32, 128, (69, 128), (140, 260)),
    (32, 128, (128, 97), (31, 24)),
    (32, 128, (128, 128), (128, 128)),
    (32, 128, (11, 128), (70, 811)),
    (32, 128, (128, 1), (300, 1)),
    (64, 256, (171, 256), (500, 750)),
]


def enlarge(logits: torch.Tensor, frame: int, inside: tuple, original: tuple) -> torch.Tensor:
    """As segment_anything does, three masks to an image."""
    logits = F.interpolate(logits, (frame, frame), mode="bilinear", align_corners=False)
    logits = logits[..., : inside[0], : inside[1]]
    return F.interpolate(logits, original, mode="bilinear", align_corners=False).flatten(0, 1)


@pytest.mark.parametrize(("low_res", "frame", "inside", "original"), GEOMETRIES)
@pytest.mark.parametrize("spread", [5.0, 1e-6])
def test_a_pixel_is_the_official_one_to_the_last_bit(
    low_res: int, frame: int, inside: tuple, original: tuple, spread: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 1 + spread * torch.randn(2, 3, low_res, low_res, generator=generator)
    expected = enlarge(logits, frame, inside, original)
    axes = tuple(
        enlarged_axis(low_res, frame, *lengths, CPU)
        for lengths in zip(inside, original, strict=True)
    )
    places = torch.meshgrid(*map(torch.arange, expected.shape), indexing="ij")
    mask, y, x = (place.flatten() for place in places)
    assert torch.equal(exact_logits(logits.flatten(0, 1), axes, mask, y, x), expected.flatten())


@pytest.fixture
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    """What matrix products may round to, which is restored."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"], indirect=True)
def test_products_that_may_round_to_fewer_bits_are_done_in_fp64(precision: str) -> None:
    test_masks_from_tiles_equal_those_of_the_enlarged_logits(*GEOMETRIES[0], 5.0, 1.0)
    assert products_are_fp32() == (precision == "highest")


@pytest.mark.parametrize(("low_res", "frame", "inside", "original"), GEOMETRIES)
@pytest.mark.parametrize(("spread", "offset"), [(5.0, 1.0), (1e-6, 1.0), (3.0, 0.0)])
def test_masks_from_tiles_equal_those_of_the_enlarged_logits(
    low_res: int, frame: int, inside: tuple, original: tuple, spread: float, offset: float
) -> None:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(2, 3, low_res // 4, low_res // 4, generator=generator)
    logits = 1 + spread * F.interpolate(coarse, (low_res, low_res), mode="bicubic")
    expected = enlarge(logits, frame, inside, original)
    axes = tuple(
        enlarged_axis(low_res, frame, *lengths, CPU)
        for lengths in zip(inside, original, strict=True)
    )
    for group, masks in tiled_masks(logits.flatten(0, 1), axes, Levels(1.0, offset)):
        assert masks.inner_area.tolist() == (expected[group] > 1 + offset).sum((1, 2)).tolist()
        assert masks.outer_area.tolist() == (expected[group] > 1 - offset).sum((1, 2)).tolist()
        for index, logit in enumerate(expected[group]):
            (x, y), window = masks[index].corner, masks[index].window()
            shown = torch.zeros(original, dtype=torch.bool)
            shown[y : y + window.shape[0], x : x + window.shape[1]] = torch.from_numpy(window)
            assert torch.equal(shown, logit > 1)
            assert masks.area[index] == shown.sum()
            left, top, right, bottom = foreground_box(shown.numpy())
            assert masks.boxes[index].tolist() == [left, top, max(right - 1, 0), max(bottom - 1, 0)]
