import pytest
import torch

from sam_train.interaction.masks import count_in_rows, inside_image, mask_iou


def test_an_image_covers_the_top_left_of_its_grid() -> None:
    inside = inside_image(torch.tensor([[1, 2], [2, 3]]), (2, 3))
    assert inside.int().tolist() == [[[1, 1, 0], [0, 0, 0]], [[1, 1, 1], [1, 1, 1]]]


def test_iou_by_hand() -> None:
    pred = torch.tensor([[[1, 1, 0]], [[0, 0, 1]], [[0, 0, 0]], [[1, 1, 1]]]).bool()
    gt = torch.tensor([[[0, 1, 1]], [[1, 0, 0]], [[0, 0, 0]], [[1, 1, 1]]]).bool()
    torch.testing.assert_close(mask_iou(pred, gt), torch.tensor([1 / 3, 0, 0, 1]))


@pytest.mark.parametrize("width", [7, 8, 256, 2040, 2048])
def test_rows_are_counted_eight_pixels_at_once_where_that_is_possible(width: int) -> None:
    full, half = torch.ones(2, 3, width, dtype=torch.bool), torch.rand(2, 3, width) < 0.5
    assert (count_in_rows(full) == width).all()
    assert torch.equal(count_in_rows(half), half.sum(2))
    turned, beside = half.transpose(1, 2), half.flatten()[3 : 3 + 2 * width].reshape(1, 2, width)
    assert torch.equal(count_in_rows(turned), half.sum(1))
    assert torch.equal(count_in_rows(beside), beside.sum(2))
