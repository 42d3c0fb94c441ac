import torch
from torch.nn import functional as F

from sam_train.modeling.maps.mask_quality import MaskQuality, grown, mask_statistics


def draw_logits(inside: float, outside: float) -> torch.Tensor:
    """A mask of the 4 x 4 cells in the middle of 8 x 8."""
    logits = torch.full((1, 1, 8, 8), outside)
    logits[..., 2:6, 2:6] = inside
    return logits


def test_a_sure_mask_is_sharp_and_stable() -> None:
    maps = torch.zeros(1, 1, 8, 8)
    sure, unsure = (mask_statistics(draw_logits(x, -x), maps)[0, 0] for x in (9.0, 0.5))
    torch.testing.assert_close(sure[:2], torch.ones(2), rtol=0, atol=1e-3)
    assert unsure[0] < 0.5 and unsure[1] == 0
    assert sure[2] == unsure[2]  # the area


def test_maps_are_averaged_inside_and_around() -> None:
    logits, maps = draw_logits(5.0, -5.0), torch.zeros(1, 2, 8, 8)
    maps[:, 0] = (logits[:, 0] > 0) * 0.75
    maps[:, 1] = (logits[:, 0] < 0) * 0.5
    assert mask_statistics(logits, maps)[0, 0, 3:].tolist() == [0.75, 0, 0, 0.5]


def test_an_empty_and_a_full_mask_are_finite() -> None:
    logits = torch.stack([torch.full((1, 8, 8), -200.0), torch.full((1, 8, 8), 200.0)])
    assert mask_statistics(logits, torch.ones(2, 3, 8, 8)).isfinite().all()


def test_the_quality_learns_what_the_maps_show_and_leaves_the_masks_alone() -> None:
    """The mean of a map in the mask is the IoU to predict."""
    torch.manual_seed(0)
    quality = MaskQuality(1)
    optimizer = torch.optim.Adam(quality.parameters(), lr=1e-2)
    for _ in range(150):
        level = torch.rand(64, 1, 1, 1)
        logits = draw_logits(3.0, -3.0).expand(64, -1, -1, -1).clone().requires_grad_()
        loss = (quality(logits, level.expand(-1, -1, 8, 8)) - level[:, :, 0, 0]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.01 and logits.grad is None


def test_a_mask_grows_as_under_max_pooling():
    masks = (torch.randn(2, 3, 12, 9) > 1).float()

    assert torch.equal(grown(masks, 2), F.max_pool2d(masks, 5, stride=1, padding=2))
