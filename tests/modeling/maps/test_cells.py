import torch

from sam_train.modeling.maps.cells import fold, fold_twice, unfold_twice


def test_folding_lists_the_quarters_of_a_cell_before_the_channels() -> None:
    x = torch.arange(2 * 4 * 4).reshape(1, 2, 4, 4).float()
    cell = fold(x)[0, :, 0, 1]
    assert cell.tolist() == [2, 18, 3, 19, 6, 22, 7, 23]


def test_unfolding_is_the_inverse() -> None:
    x = torch.randn(2, 3, 8, 12)
    assert torch.equal(fold_twice(x), fold(fold(x)))
    assert torch.equal(unfold_twice(fold_twice(x)), x)
