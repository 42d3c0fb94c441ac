import math
from functools import partial
from typing import Any

import pytest
import torch
from torch.optim import AdamW

from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.sam import Sam
from sam_train.training.optim import CosineSchedule, Optimization, Progress, StepSchedule


def optimization(**settings: Any) -> Optimization:
    constant = StepSchedule(warmup=0, milestones=())
    defaults = {"schedule": constant, "lr": 1.0, "weight_decay": 0.1}
    return Optimization(AdamW, **defaults | settings)


def group_of(sam: Sam, settings: Optimization, name: str) -> dict[str, Any]:
    """The optimiser's group that holds a parameter."""
    parameter = sam.get_parameter(name)
    groups = settings.build(sam).param_groups
    return next(g for g in groups if any(p is parameter for p in g["params"]))


def steps(done: int, max_steps: int = 100) -> Progress:
    return Progress(done, 4 * done, max_steps)


def test_the_papers_schedule_warms_up_for_250_steps_and_drops_tenfold_twice() -> None:
    schedule = StepSchedule(warmup=250, milestones=(60_000, 86_666))
    points = {0: 1 / 250, 124: 0.5, 249: 1, 250: 1, 59_999: 1, 60_000: 0.1, 86_666: 0.01}
    for done, factor in points.items():
        assert schedule(steps(done)) == pytest.approx(factor)


def test_a_schedule_can_count_images() -> None:
    schedule = StepSchedule(warmup=0, milestones=(400,), gamma=0.5, unit="images")
    assert [schedule(steps(done)) for done in (99, 100)] == [1, 0.5]


def test_the_cosine_schedule_at_its_start_middle_and_end() -> None:
    schedule = CosineSchedule(warmup=10, final=0.2)
    assert schedule(steps(0)) == pytest.approx(0.1)
    assert schedule(steps(4)) == pytest.approx(
        0.5 * (0.2 + 0.8 * 0.5 * (1 + math.cos(0.04 * math.pi)))
    )
    assert schedule(steps(50)) == pytest.approx(0.6)
    assert schedule(steps(100)) == schedule(steps(130)) == pytest.approx(0.2)


def test_without_warm_up_the_first_step_is_at_full_rate() -> None:
    assert CosineSchedule(warmup=0)(steps(0)) == 1


def test_layers_of_the_encoder_learn_slower_the_lower_they_lie(vit: Sam) -> None:
    settings = optimization(layer_decay=0.5)
    rates = {
        "image_encoder.pos_embed": 0.125,
        "image_encoder.patch_embed.proj.weight": 0.125,
        "image_encoder.blocks.0.attn.qkv.weight": 0.25,
        "image_encoder.blocks.1.mlp.fc1.bias": 0.5,
        "image_encoder.neck.0.weight": 1,
        "prompt_encoder.no_mask_embed.weight": 1,
        "mask_decoder.iou_token.weight": 1,
    }
    assert {name: group_of(vit, settings, name)["max_lr"] for name in rates} == rates


def test_a_pyramid_has_no_layer_wise_decay() -> None:
    groups = optimization(layer_decay=0.5).build(build_sam_tiny(image_size=64)).param_groups
    assert {group["max_lr"] for group in groups} == {1}


def test_biases_and_norms_have_no_weight_decay(vit: Sam) -> None:
    settings = optimization()
    decays = {
        "image_encoder.blocks.0.norm1.weight": 0,
        "image_encoder.neck.1.weight": 0,
        "mask_decoder.transformer.norm_final_attn.bias": 0,
        "mask_decoder.output_upscaling.1.weight": 0,
        "mask_decoder.output_upscaling.0.bias": 0,
        "mask_decoder.output_upscaling.0.weight": 0.1,
        "image_encoder.blocks.0.attn.qkv.weight": 0.1,
    }
    assert {n: group_of(vit, settings, n)["weight_decay"] for n in decays} == decays


def test_every_trainable_parameter_is_in_one_group(vit: Sam) -> None:
    vit.image_encoder.patch_embed.requires_grad_(False)
    groups = optimization(layer_decay=0.8).build(vit).param_groups
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in vit.parameters() if p.requires_grad)


def test_the_schedule_scales_the_rates_of_all_groups(vit: Sam) -> None:
    schedule = StepSchedule(warmup=4, milestones=())
    settings = optimization(lr=0.8, layer_decay=0.5, schedule=schedule)
    optimizer = settings.build(vit)
    assert settings.set_lr(optimizer, steps(1)) == pytest.approx(0.4)
    rates = {group["lr"] for group in optimizer.param_groups}
    assert sorted(rates) == pytest.approx([0.05, 0.1, 0.2, 0.4])


def test_the_optimiser_is_the_one_that_is_given(vit: Sam) -> None:
    settings = Optimization(
        partial(torch.optim.SGD, momentum=0.5), CosineSchedule(0), lr=0.1, weight_decay=0.0
    )
    optimizer = settings.build(vit)
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.param_groups[0]["momentum"] == 0.5


@pytest.mark.parametrize("lr", [0.0, -1.0, math.inf, math.nan])
def test_a_learning_rate_that_cannot_work_is_refused(lr: float) -> None:
    with pytest.raises(ValueError, match=f"optim.lr is {lr}; it must be positive and finite"):
        optimization(lr=lr)


def test_the_encoder_can_learn_at_a_lower_rate_than_the_rest(vit: Sam) -> None:
    settings = optimization(encoder_lr_scale=0.1, layer_decay=0.5)
    assert group_of(vit, settings, "image_encoder.neck.0.weight")["max_lr"] == pytest.approx(0.1)
    assert group_of(vit, settings, "image_encoder.blocks.0.attn.qkv.weight")[
        "max_lr"
    ] == pytest.approx(0.1 * 0.25)
    assert group_of(vit, settings, "mask_decoder.iou_token.weight")["max_lr"] == 1.0


def test_a_model_without_any_weight_to_train_is_refused(vit: Sam) -> None:
    with pytest.raises(ValueError, match="no weight is left to train"):
        optimization().build(vit.requires_grad_(False))


def test_a_rate_of_zero_for_the_encoder_is_told_how_to_freeze_it() -> None:
    with pytest.raises(ValueError, match=r"frozen=\[image_encoder\]"):
        optimization(encoder_lr_scale=0.0)
