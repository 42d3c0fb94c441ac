import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sam_train.training.losses import CPU_PIXELS, MaskLoss, dice_loss, focal_loss


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def two_pixels(first: float, second: float) -> Tensor:
    """Logits of a mask of two pixels from their probabilities."""
    return torch.tensor([[logit(first), logit(second)]])


GT = torch.tensor([[True, False]])
ALL = torch.ones(1, 3, dtype=torch.bool)
BAD, GOOD, WORST = two_pixels(0.5, 0.5), two_pixels(0.75, 0.2), two_pixels(0.1, 0.9)


def lose(
    logits: list[Tensor], iou_pred: list[float], candidates: Tensor = ALL, **weights: object
) -> dict[str, Tensor]:
    """The losses of one object with the mask GT."""
    return MaskLoss(**weights)(
        torch.stack(logits)[None], torch.tensor([iou_pred]), GT[None], candidates
    )


def test_focal_loss_by_hand() -> None:
    # alpha (1 - p)^2 -log p where the mask is, (1 - alpha) p^2 -log (1 - p) elsewhere.
    inside = 0.25 * 0.25**2 * -math.log(0.75)
    outside = 0.75 * 0.2**2 * -math.log(0.8)
    loss = focal_loss(two_pixels(0.75, 0.2), GT)
    torch.testing.assert_close(loss, torch.tensor((inside + outside) / 2))


def test_focal_loss_with_gamma_zero_is_half_the_cross_entropy_at_alpha_one_half() -> None:
    logits, gt_masks = torch.randn(5, 4, 6), torch.rand(5, 4, 6) < 0.5
    expected = F.binary_cross_entropy_with_logits(logits, gt_masks.float())
    loss = focal_loss(logits, gt_masks, alpha=0.5, gamma=0.0).mean()
    torch.testing.assert_close(loss, expected / 2)


def test_dice_loss_by_hand() -> None:
    # Overlap 2 * 0.75, areas 0.75 + 0.2 and 1, one pixel above and below.
    loss = dice_loss(two_pixels(0.75, 0.2), GT)
    torch.testing.assert_close(loss, torch.tensor(1 - (1.5 + 1) / (0.95 + 1 + 1)))


def test_an_empty_prediction_of_an_empty_mask_costs_nothing() -> None:
    nothing, empty = torch.full((2, 3), -100.0), torch.zeros(2, 3, dtype=torch.bool)
    assert dice_loss(nothing, empty) == 0
    assert focal_loss(nothing, empty) == 0


def test_large_logits_cost_finite_amounts() -> None:
    logits = torch.tensor([[-1e4, 1e4]], requires_grad=True)
    loss = focal_loss(logits, GT) + dice_loss(logits, GT)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


def test_the_losses_are_those_of_the_best_candidate_with_the_papers_weights() -> None:
    losses = lose([BAD, GOOD, WORST], [0.3, 0.9, 0.2])
    focal, dice = focal_loss(GOOD, GT), dice_loss(GOOD, GT)
    torch.testing.assert_close(losses["focal"][0], focal)
    torch.testing.assert_close(losses["dice"][0], dice)
    torch.testing.assert_close(losses["iou"], torch.tensor([0.01]))  # its IoU is 1, predicted 0.9
    torch.testing.assert_close(losses["loss"][0], 20 * focal + dice + 0.01)


def test_the_iou_loss_can_be_the_mean_over_all_candidates() -> None:
    # BAD has no pixel above 0.5: IoU 0. WORST has the wrong one.
    losses = lose([BAD, GOOD, WORST], [0.3, 0.9, 0.2], iou_loss_on="all")
    torch.testing.assert_close(losses["iou"], torch.tensor([(0.09 + 0.01 + 0.04) / 3]))
    some = torch.tensor([[True, True, False]])
    losses = lose([BAD, GOOD, WORST], [0.3, 0.9, 0.2], some, iou_loss_on="all")
    torch.testing.assert_close(losses["iou"], torch.tensor([(0.09 + 0.01) / 2]))


def test_the_iou_loss_does_not_choose_the_candidate() -> None:
    losses = lose([BAD, GOOD, WORST], [0.0, -5.0, 0.0], iou_weight=100.0)
    torch.testing.assert_close(losses["focal"][0], focal_loss(GOOD, GT))


def test_masks_that_are_no_candidates_are_not_chosen() -> None:
    losses = lose([BAD, GOOD, WORST], [0.0, 0.0, 0.0], torch.tensor([[True, False, True]]))
    torch.testing.assert_close(losses["dice"][0], dice_loss(BAD, GT))


@pytest.mark.parametrize(("iou_loss_on", "trained"), [("best", [1]), ("all", [0, 1])])
def test_only_the_best_candidate_gets_a_gradient(iou_loss_on: str, trained: list[int]) -> None:
    logits = torch.stack([BAD, GOOD, WORST])[None].requires_grad_()
    iou_pred = torch.tensor([[0.3, 0.9, 0.2]], requires_grad=True)
    candidates = torch.tensor([[True, True, False]])
    loss = MaskLoss(iou_loss_on=iou_loss_on)(logits, iou_pred, GT[None], candidates)["loss"]
    loss.sum().backward()
    assert logits.grad.flatten(2).any(2)[0].nonzero().flatten().tolist() == [1]
    assert iou_pred.grad[0].nonzero().flatten().tolist() == trained


def test_every_object_has_its_own_losses_and_candidate() -> None:
    logits, iou_pred = torch.randn(6, 4, 5, 5), torch.rand(6, 4)
    gt_masks, candidates = torch.rand(6, 5, 5) < 0.5, torch.eye(4).repeat(2, 1)[:6] < 1
    together = MaskLoss()(logits, iou_pred, gt_masks, candidates)
    for i in range(6):
        part = slice(i, i + 1)
        alone = MaskLoss()(logits[part], iou_pred[part], gt_masks[part], candidates[part])
        assert all(torch.equal(alone[name], together[name][part]) for name in together)


@pytest.mark.parametrize("candidates", [1, 3])
@pytest.mark.parametrize("side", [64, 128])
def test_losses_in_chunks_have_the_gradients_of_all_at_once(candidates: int, side: int) -> None:
    count = CPU_PIXELS // side**2 + 3  # a full chunk and a smaller one
    logits = torch.randn(count, candidates, 64, 64, requires_grad=True)
    gt_masks = torch.rand(count, side, side) < 0.3
    every = torch.ones(count, candidates, dtype=torch.bool)
    iou_pred = torch.rand(count, candidates)
    chunked = MaskLoss(iou_weight=0.0)(logits, iou_pred, gt_masks, every)["loss"]

    large = F.interpolate(logits, (side, side), mode="bilinear")
    masks = gt_masks[:, None]
    expected = (20 * focal_loss(large, masks) + dice_loss(large, masks)).amin(1)
    torch.testing.assert_close(chunked, expected)
    weights = torch.rand(count)  # objects may weigh differently
    gradients = [
        torch.autograd.grad((loss * weights).sum(), logits)[0] for loss in (chunked, expected)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-9)


def test_no_object_has_no_loss() -> None:
    logits, gt_masks = torch.zeros(0, 3, 8, 8, requires_grad=True), torch.zeros(0, 8, 8) > 0
    iou_pred = torch.zeros(0, 3, requires_grad=True)
    loss = MaskLoss()(logits, iou_pred, gt_masks, torch.ones(0, 3) > 0)["loss"].sum()
    loss.backward()
    assert loss == 0 and logits.grad.shape == logits.shape


def test_logits_are_enlarged_to_the_grid_of_the_true_masks() -> None:
    logits, gt_masks = torch.full((1, 1, 2, 2), 3.0), torch.ones(1, 8, 8, dtype=torch.bool)
    one = torch.ones(1, 1, dtype=torch.bool)
    losses = MaskLoss()(logits, torch.zeros(1, 1), gt_masks, one)
    torch.testing.assert_close(losses["dice"][0], dice_loss(torch.full((8, 8), 3.0), gt_masks[0]))


def test_an_unknown_choice_for_the_iou_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="iou_loss_on is 'worst'; it must be 'best' or 'all'"):
        MaskLoss(iou_loss_on="worst")


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"focal_weight": 0.0, "dice_weight": 0.0}, "both 0, so that no mask would be learned"),
        ({"iou_weight": -1.0}, "iou_weight is -1.0; it must be 0 or more"),
        ({"dice_weight": math.inf}, "dice_weight is inf; it must be 0 or more"),
        ({"focal_weight": math.nan}, "focal_weight is nan; it must be 0 or more"),
    ],
)
def test_weights_that_cannot_teach_are_refused(weights: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        MaskLoss(**weights)
