import numpy as np
import pytest
import torch
from torch import Tensor

from sam_train.interaction.draws import uniform
from sam_train.interaction.sampling import (
    error_centre,
    error_point,
    mask_boxes,
    mask_centre,
    noisy_boxes,
    pixel_at,
    to_input_frame,
)


def masks_of(*pictures: str) -> Tensor:
    """Masks from rows of `#` and `.`, separated by spaces."""
    rows = [[[cell == "#" for cell in row] for row in picture.split()] for picture in pictures]
    return torch.tensor(rows)


def click(pred: Tensor, gt: Tensor, draws: Tensor, inside: Tensor | None = None) -> tuple:
    """Clicks for one pair of masks, one for each draw."""
    many = (len(draws), -1, -1)
    inside = torch.ones_like(gt) if inside is None else inside
    return error_point(pred.expand(many), gt.expand(many), draws, inside=inside.expand(many))


def test_the_centre_of_a_coarse_cell_is_the_centre_of_its_fine_pixels() -> None:
    assert to_input_frame(torch.tensor([0.0, 1.0]), 4.0).tolist() == [1.5, 5.5]
    assert to_input_frame(torch.tensor([0.0, 1.0]), 1.0).tolist() == [0, 1]


def test_draws_count_through_the_pixels_of_a_region_in_row_order() -> None:
    region = masks_of(".#.# .... #..#")
    draws = torch.tensor([0.0, 0.25, 0.5, 0.75, 0.999], dtype=torch.float64)
    coords, found = pixel_at(region.expand(5, -1, -1), draws)
    assert coords.tolist() == [[1, 0], [3, 0], [0, 2], [3, 2], [3, 2]]
    assert found.all()


def test_the_last_pixel_is_the_last_even_for_the_largest_draw() -> None:
    draws = torch.tensor([1 - 2.0**-53], dtype=torch.float64)
    full = torch.ones(1, 64, 64, dtype=torch.bool)
    assert pixel_at(full, draws)[0].tolist() == [[63, 63]]


def test_an_empty_region_has_no_pixel() -> None:
    coords, found = pixel_at(masks_of("... ...").expand(2, -1, -1), torch.tensor([0.0, 0.9]))
    assert coords.tolist() == [[0, 0], [0, 0]]
    assert not found.any()


def test_a_click_lies_in_the_error_region_and_says_what_is_missing_or_wrong() -> None:
    pred, gt = torch.rand(2, 500, 13, 17) < 0.3
    coords, labels = error_point(
        pred, gt, uniform(torch.arange(500), 0), inside=torch.ones_like(gt)
    )
    x, y = coords.long().T
    each = torch.arange(500)
    assert (pred ^ gt)[each, y, x].all()
    assert torch.equal(labels == 1, gt[each, y, x])
    assert torch.equal(labels == 0, pred[each, y, x])


def test_clicks_are_uniform_over_the_pixels_of_the_error() -> None:
    pred, gt = masks_of("#...# ##..# ....#", "....# .#### .....")
    coords, _ = click(pred, gt, uniform(torch.arange(6000), 0))
    clicked = coords.long()[:, 1] * 5 + coords.long()[:, 0]
    counts = clicked.bincount(minlength=15)[(pred ^ gt).flatten()]
    assert counts.sum() == 6000 and len(counts) == 5
    expected = 6000 / len(counts)
    assert ((counts - expected).square() / expected).sum() < 18.5  # 4 degrees, p = 0.001


def test_what_is_missed_gets_a_foreground_click_and_what_is_wrong_a_background_click() -> None:
    empty, one = masks_of("... ...", ".#. ...")
    draw = torch.tensor([0.5])
    assert [t.tolist() for t in click(empty, one, draw)] == [[[1, 0]], [1]]
    assert [t.tolist() for t in click(one, empty, draw)] == [[[1, 0]], [0]]


def test_a_mask_without_error_gets_no_point() -> None:
    mask = masks_of(".#. ##.")
    _, labels = click(mask[0], mask[0], torch.tensor([0.1, 0.9]))
    assert labels.tolist() == [-1, -1]


def test_a_mask_of_the_full_image_is_clicked_everywhere() -> None:
    full = torch.ones(4, 4, dtype=torch.bool)
    coords, labels = click(~full, full, uniform(torch.arange(400), 0))
    assert len(coords.unique(dim=0)) == 16
    assert (labels == 1).all()


def test_padding_is_never_clicked() -> None:
    inside, gt = masks_of("##.. ##.. ....", "#... .... ....")
    coords, labels = click(~gt, gt, uniform(torch.arange(300), 0), inside)
    assert coords.amax(0).tolist() == [1, 1]
    only_padding = gt | ~inside
    assert (click(only_padding, gt, torch.tensor([0.5]), inside)[1] == -1).all()


def test_a_box_touches_the_outermost_pixels() -> None:
    masks = masks_of(".... .##. .#..", "#... .... ...#", ".... .... ....")
    assert mask_boxes(masks).tolist() == [[1, 1, 2, 2], [0, 0, 3, 2], [0, 0, 0, 0]]


def noise_of(box: list[float], *, std: float, max_noise: float, count: int = 2000) -> Tensor:
    """How far the corners of noisy boxes lie from those of a box in a large image."""
    boxes = torch.tensor([box], dtype=torch.float32).expand(count, -1)
    frame = torch.full((count, 2), 10_000)
    noisy = noisy_boxes(boxes, torch.arange(count), std=std, max_noise=max_noise, frame=frame)
    return noisy - boxes


def test_box_noise_is_a_tenth_of_the_side_that_it_moves() -> None:
    noise = noise_of([500, 500, 599, 539], std=0.1, max_noise=1000.0)
    torch.testing.assert_close(noise.std(0), torch.tensor([10.0, 4, 10, 4]), rtol=0.08, atol=0)
    assert noise.mean(0).abs().max() < 1
    assert (torch.corrcoef(noise.T) - torch.eye(4)).abs().max() < 0.1


def test_box_noise_is_at_most_max_noise_and_reaches_it() -> None:
    noise = noise_of([5000, 5000, 5999, 5999], std=0.1, max_noise=20.0)
    assert noise.abs().max() == 20


def test_noisy_boxes_are_ordered_and_inside_the_image() -> None:
    low = torch.rand(1000, 2) * 40
    boxes = torch.cat([low, low + torch.rand(1000, 2) * 10], dim=1)
    frame = torch.tensor([[30, 50]]).expand(1000, -1)  # 30 high, 50 wide
    noisy = noisy_boxes(boxes, torch.arange(1000), std=2.0, max_noise=30.0, frame=frame)
    assert (noisy[:, :2] <= noisy[:, 2:]).all()
    assert noisy.min() == 0
    assert noisy.amax(0).tolist() == [49, 29, 49, 29]


def test_no_noise_leaves_a_box_as_it_is() -> None:
    assert noise_of([3, 4, 9, 8], std=0.0, max_noise=20.0).abs().max() == 0


def depth_by_brute_force(region: np.ndarray) -> np.ndarray:
    """Squared distance of every pixel to the nearest outside, which surrounds the grid."""
    padded = np.pad(region, 1)
    outside, pixels = np.argwhere(~padded), np.argwhere(padded >= 0)
    squared = np.square(pixels[:, None] - outside).sum(-1).min(1)
    return squared.reshape(padded.shape)[1:-1, 1:-1]


def click_by_brute_force(pred: np.ndarray, gt: np.ndarray) -> tuple[list[int], int]:
    missed, wrong = depth_by_brute_force(gt & ~pred), depth_by_brute_force(pred & ~gt)
    if max(missed.max(), wrong.max()) == 0:
        return [0, 0], -1
    is_missed = missed.max() > wrong.max()
    depth = missed if is_missed else wrong
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return [int(x), int(y)], int(is_missed)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.98])
def test_error_centres_equal_brute_force_on_random_masks(share: float) -> None:
    pred, gt = torch.rand(40, 11, 9) > 0.5, torch.rand(40, 11, 9) < share
    pred[::2] = ~gt[::2] & (torch.rand(20, 11, 9) < share)  # few hits: large regions
    coords, labels = error_centre(pred, gt)
    expected = [click_by_brute_force(*pair) for pair in zip(pred.numpy(), gt.numpy(), strict=True)]
    assert list(zip(coords.tolist(), labels.tolist(), strict=True)) == expected


def test_the_border_of_the_image_bounds_a_region() -> None:
    full = torch.ones(1, 5, 7, dtype=torch.bool)
    coords, labels = error_centre(~full, full)
    assert coords.tolist() == [[2, 2]]  # of three pixels with depth 3 the first
    assert labels.tolist() == [1]


def test_a_tie_between_missed_and_wrong_goes_to_background() -> None:
    pred, gt = masks_of("##.. ....", "..## ....")
    coords, labels = error_centre(pred[None], gt[None])
    assert (coords.tolist(), labels.tolist()) == ([[0, 0]], [0])


def test_no_error_has_no_centre() -> None:
    masks = masks_of("#.. ...", "... ...", "### ###")
    assert error_centre(masks, masks)[1].tolist() == [-1, -1, -1]


def test_the_centre_of_a_mask_is_its_innermost_pixel() -> None:
    masks = masks_of("##### ##### #####", ".###. .###. .###.", "..... ..... ....#")
    assert mask_centre(masks).tolist() == [[1, 1], [2, 1], [4, 2]]
    torch.testing.assert_close(mask_centre(masks), error_centre(~masks & False, masks)[0])
