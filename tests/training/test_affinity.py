import torch
from torch.nn import functional as F

from sam_train.training.affinity import affinity_loss, pair_loss

SIDE = 16


def halves() -> torch.Tensor:
    masks = torch.zeros(1, SIDE, SIDE, dtype=torch.bool)
    masks[:, :, : SIDE // 2] = True
    return masks


def loss_of(affinity: torch.Tensor, **settings: torch.Tensor) -> torch.Tensor:
    inputs = {
        "gt_masks": halves(),
        "image_index": torch.tensor([0]),
        "sizes": torch.tensor([[SIDE, SIDE]]),
    } | settings
    return affinity_loss(affinity, **inputs, seed=3)


def test_features_that_tell_masks_apart_cost_least() -> None:
    side = torch.zeros(1, 2, SIDE, SIDE)
    side[:, 0] = torch.where(halves(), 1.0, -1.0)
    alike = torch.zeros(1, 2, SIDE, SIDE)
    alike[:, 0] = 1.0
    noise = F.normalize(torch.randn(1, 2, SIDE, SIDE), dim=1)
    assert loss_of(side) < 0.01 < 1 < min(loss_of(alike), loss_of(noise))


def test_training_the_features_separates_the_halves() -> None:
    torch.manual_seed(0)
    raw = torch.randn(1, 4, SIDE, SIDE, requires_grad=True)
    optimizer = torch.optim.Adam([raw], lr=0.1)
    for _ in range(80):
        optimizer.zero_grad()
        loss_of(F.normalize(raw, dim=1)).backward()
        optimizer.step()
    with torch.no_grad():
        assert loss_of(F.normalize(raw, dim=1)) < 0.1


def test_pixels_of_the_padding_take_no_part() -> None:
    torch.manual_seed(0)
    features = F.normalize(torch.randn(1, 3, SIDE, SIDE), dim=1)
    changed = features.clone()
    changed[:, :, 10:] = 0.5
    sizes = torch.tensor([[10, SIDE]])
    assert torch.equal(loss_of(features, sizes=sizes), loss_of(changed, sizes=sizes))


def test_an_image_without_masks_costs_nothing() -> None:
    affinity = torch.randn(1, 3, SIDE, SIDE, requires_grad=True)
    loss = loss_of(affinity, gt_masks=halves()[:0], image_index=torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss == 0 and not affinity.grad.any()


def test_pairs_belong_together_by_the_share_of_their_masks() -> None:
    """Two pixels of a whole, one of them in its part: together by one mask of two."""
    members = torch.tensor([[True, True], [True, False]])
    shares = torch.zeros(2, 2)
    same, apart = (
        pair_loss(torch.tensor([[1.0, x], [0.0, y]]), members, shares)
        for x, y in ((1.0, 0.0), (0.25, 0.97))
    )
    assert apart < same
