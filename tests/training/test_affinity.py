from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from sam_train.data.stream.collate import Batch
from sam_train.training.affinity import affinity_loss, affinity_losses, pair_loss
from sam_train.training.scale.passes import take_images

SIDE = 16


def halves() -> torch.Tensor:
    masks = torch.zeros(1, SIDE, SIDE, dtype=torch.bool)
    masks[:, :, : SIDE // 2] = True
    return masks


def loss_of(features: torch.Tensor, *, height: int = SIDE) -> torch.Tensor:
    return affinity_loss(features, halves(), torch.tensor([height, SIDE]), seed=3)


def test_features_that_tell_masks_apart_cost_least() -> None:
    side = torch.zeros(2, SIDE, SIDE)
    side[0] = torch.where(halves()[0], 1.0, -1.0)
    alike = torch.zeros(2, SIDE, SIDE)
    alike[0] = 1.0
    noise = F.normalize(torch.randn(2, SIDE, SIDE), dim=0)
    assert loss_of(side) < 0.01 < 1 < min(loss_of(alike), loss_of(noise))


def test_training_the_features_separates_the_halves() -> None:
    torch.manual_seed(0)
    raw = torch.randn(4, SIDE, SIDE, requires_grad=True)
    optimizer = torch.optim.Adam([raw], lr=0.1)
    for _ in range(80):
        optimizer.zero_grad()
        loss_of(F.normalize(raw, dim=0)).backward()
        optimizer.step()
    with torch.no_grad():
        assert loss_of(F.normalize(raw, dim=0)) < 0.1


def test_pixels_of_the_padding_take_no_part() -> None:
    torch.manual_seed(0)
    features = F.normalize(torch.randn(3, SIDE, SIDE), dim=0)
    changed = features.clone()
    changed[:, 10:] = 0.5
    assert torch.equal(loss_of(features, height=10), loss_of(changed, height=10))


@pytest.mark.parametrize("scale", [0.5, 2.0, 4.0])
def test_masks_of_another_grid_give_the_same_loss(scale: float) -> None:
    features = F.normalize(torch.randn(3, SIDE, SIDE), dim=0)
    masks = F.interpolate(halves()[None].float(), scale_factor=scale)[0].bool()
    other = affinity_loss(features, masks, torch.tensor([SIDE, SIDE]), seed=3)
    assert torch.equal(other, loss_of(features))


def test_each_image_of_a_batch_has_its_own_loss_and_one_without_masks_has_none(
    make_batch: Callable[..., Batch],
) -> None:
    batch = make_batch(2, 0, 3)
    affinity = F.normalize(torch.randn(3, 4, SIDE, SIDE), dim=1).requires_grad_()
    losses = affinity_losses(affinity, batch, image_size=64, step=5)
    losses.sum().backward()
    alone = affinity_losses(affinity[2:], take_images(batch, 2, 3), image_size=64, step=5)
    assert losses[1] == 0 and losses[2] == alone
    assert [bool(gradient.any()) for gradient in affinity.grad] == [True, False, True]


def test_pairs_belong_together_by_the_share_of_their_masks() -> None:
    """Two pixels of a whole, one of them in its part: together by one mask of two."""
    members = torch.tensor([[True, True], [True, False]])
    shares = torch.zeros(2, 2)
    same, apart = (
        pair_loss(torch.tensor([[1.0, x], [0.0, y]]), members, shares)
        for x, y in ((1.0, 0.0), (0.25, 0.97))
    )
    assert apart < same
