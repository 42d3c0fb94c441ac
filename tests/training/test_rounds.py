import pytest
import torch

from sam_train.data.stream.collate import Batch
from sam_train.training.rounds import (
    RoundRules,
    mask_sizes,
    mean_over_ranks,
    measure,
    most_confident,
)


def test_what_is_predicted_in_the_padding_is_not_measured(batch: Batch) -> None:
    batch["input_sizes"] = torch.tensor([[64, 32], [32, 64]])  # half of the grid each
    batch["gt_masks"] = torch.zeros(2, 16, 16, dtype=torch.bool)
    batch["gt_masks"][0, :, :8] = batch["gt_masks"][1, :8] = True
    everywhere = torch.ones(2, 16, 16)
    sizes = mask_sizes(batch, image_size=64)
    measured = measure(everywhere, torch.tensor([0.75, 1.0]), batch, sizes=sizes)
    assert measured["iou_at"].tolist() == [1, 1]
    assert measured["iou_error_at"].tolist() == [0.25, 0]
    assert measured["empty_at"].tolist() == [0, 0]


def test_the_annotator_sees_the_candidate_of_the_highest_predicted_iou() -> None:
    logits = torch.arange(6.0).reshape(2, 3, 1, 1)
    iou_pred = torch.tensor([[0.9, 0.5, 0.7], [0.1, 0.3, 0.2]])
    candidates = torch.tensor([[False, True, True], [True, True, True]])
    best, best_iou_pred = most_confident(logits, iou_pred, candidates)
    assert best.flatten().tolist() == [2, 4]
    torch.testing.assert_close(best_iou_pred, torch.tensor([0.7, 0.3]))


def test_losses_are_means_over_rounds_and_measures_stand_round_by_round() -> None:
    first = dict.fromkeys(("loss", "focal", "dice", "iou"), torch.tensor([1.0, 3.0]))
    first |= dict.fromkeys(("iou_at", "iou_error_at", "empty_at"), torch.tensor([0.0, 0.5]))
    second = {name: value + 1 for name, value in first.items()}
    means = mean_over_ranks([first, second], torch.device("cpu"))
    assert means["train/objects"] == 2
    assert means["train/loss"] == means["train/dice"] == 2.5
    assert [means[f"train/iou_at_{number}"] for number in (1, 2)] == [0.25, 1.25]


def test_the_weights_of_rounds_are_those_of_a_mean_or_of_a_sum() -> None:
    assert RoundRules().weights(4) == [0.25] * 4
    assert RoundRules(sum_rounds=True).weights(2) == [1.0, 1.0]
    assert RoundRules(gradient_rounds=2).weights(3) == [0.0, 0.5, 0.5]
    assert RoundRules(gradient_rounds=5).weights(2) == [0.5, 0.5]


def test_rules_that_cannot_be_played_are_refused() -> None:
    with pytest.raises(ValueError, match="ambiguous has 'text'; it may hold point and box"):
        RoundRules(ambiguous=("point", "text"))
    with pytest.raises(ValueError, match="gradient_rounds is 0; at least 1 learns"):
        RoundRules(gradient_rounds=0)
