from typing import Any

import pytest
import torch

from sam_train.data.store.embeddings import EmbeddingCache
from sam_train.data.stream.collate import Batch
from sam_train.interaction.annotator import TrainingAnnotator
from sam_train.interaction.prompts import box_prompts, boxes_or_points, point_prompts
from sam_train.modeling.sam import Sam
from sam_train.training.distillation.prompts import (
    PromptDistillation,
    candidate_losses,
    learned_candidates,
)
from sam_train.training.losses import MaskLoss
from sam_train.training.optim import Optimization


@pytest.fixture
def settings(
    teacher: Sam, embeddings: EmbeddingCache, optimization: Optimization
) -> dict[str, Any]:
    return {
        "teacher": teacher,
        "embeddings": embeddings,
        "optimization": optimization,
        "annotator": TrainingAnnotator(
            num_corrections=1, rounds_without_point=0, mask_feedback=False
        ),
        "loss": MaskLoss(),
        "affinity_weight": 0.0,
    }


def test_a_round_is_judged_by_what_the_teacher_answers_to_the_same_prompts(
    student: Sam, teacher: Sam, settings: dict[str, Any], batch: Batch
) -> None:
    count = len(batch["gt_masks"])
    prompts = point_prompts(torch.full((count, 2), 20.0), torch.ones(count, dtype=torch.long))
    with torch.no_grad():
        seen = teacher.encode(batch["images"], batch["input_sizes"])
        logits, iou_pred = teacher.decode(seen, prompts, batch["image_index"])

    judged = PromptDistillation(student, **settings).with_targets(batch, prompts)

    assert (judged["taught_masks"] == (logits > 0)).float().mean() > 0.99
    assert judged["preferred"].tolist() == iou_pred.argmax(1).tolist()
    best = judged["taught_masks"][torch.arange(count), judged["preferred"]]
    assert torch.equal(judged["gt_masks"], best)  # the grid is the decoder's own here


def test_what_the_teacher_sees_in_the_padding_is_no_part_of_its_masks(
    student: Sam, teacher: Sam, settings: dict[str, Any], batch: Batch
) -> None:
    module = PromptDistillation(student, **settings)
    for hypernetwork in teacher.mask_decoder.output_hypernetworks_mlps:  # its masks are empty:
        for parameter in hypernetwork.layers[-1].parameters():  # turned around, they are full
            parameter.data.neg_()
    batch["input_sizes"] = batch["input_sizes"] // torch.tensor([2, 1])
    count = len(batch["gt_masks"])
    prompts = point_prompts(torch.full((count, 2), 20.0), torch.ones(count, dtype=torch.long))

    judged = module.with_targets(batch, prompts)

    best = judged["taught_masks"][torch.arange(count), judged["preferred"]]
    half = best.shape[1] // 2
    assert best[:, half:].any()
    best[:, half:] = False
    assert torch.equal(judged["gt_masks"], best)


def test_a_student_learns_masks_but_not_to_judge_them(
    student: Sam, settings: dict[str, Any], batch: Batch
) -> None:
    means, _ = PromptDistillation(student, **settings).learn(batch, 0)

    assert means["train/bce"] > 0
    assert means["train/dice"] > 0
    assert student.image_encoder.neck[1].weight.grad.abs().max() > 0
    head = student.mask_decoder.iou_prediction_head
    assert all(p.grad is None or not p.grad.any() for p in head.parameters())


def test_of_a_box_the_first_candidate_is_learned_and_of_a_point_all_four() -> None:
    points = point_prompts(torch.tensor([[5.0, 5.0]] * 2), torch.tensor([1, 1]))
    boxes = box_prompts(torch.tensor([[1.0, 1.0, 9.0, 9.0]] * 2))
    mixed = boxes_or_points(torch.tensor([True, False]), boxes, points)

    assert learned_candidates(mixed).tolist() == [[True, False, False, False], [True] * 4]


def test_the_losses_of_the_candidates_leave_out_padding_and_what_is_not_learned() -> None:
    masks = torch.zeros(1, 4, 2, 2, dtype=torch.bool)
    masks[..., 0, :] = True
    logits = torch.where(masks, 50.0, -50.0)
    logits[:, :, 1] = 50.0  # wrong, in the padding
    logits[:, 3] = -50.0  # wrong, not learned
    inside = torch.tensor([[[True, True], [False, False]]])
    learned = torch.tensor([[True, True, True, False]])

    bce, dice = candidate_losses(logits, masks, inside=inside, learned=learned)

    assert bce.item() == pytest.approx(0, abs=1e-6)
    assert dice.item() == pytest.approx(0, abs=1e-6)
