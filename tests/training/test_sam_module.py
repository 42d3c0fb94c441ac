import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning import Callback, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from sam_train.data.stream.collate import Batch
from sam_train.interaction.draws import mix_seeds
from sam_train.training.adaptation import Adaptation
from sam_train.training.rounds import RoundRules
from sam_train.training.sam_module import SamModule
from sam_train.training.scale.passes import Passes

MakeModule = Callable[..., SamModule]
Rounds = list[dict[str, Tensor]]


def interact(module: SamModule, batch: Batch) -> Rounds:
    """Plays all rounds outside of a training run; gradients are left on the parameters."""
    module.zero_grad()
    return module.interact(batch)[0]


def gradients(module: SamModule) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in module.sam.named_parameters() if p.grad is not None}


def twins(make_module: MakeModule, *settings: dict[str, Any]) -> list[SamModule]:
    """Modules with the same weights, in evaluation mode: no image depends on another."""
    modules = [make_module(**each).eval() for each in settings]
    for module in modules[1:]:
        module.sam.load_state_dict(modules[0].sam.state_dict())
    return modules


def test_each_round_has_a_value_for_each_object(make_module: MakeModule, make_batch) -> None:
    rounds = interact(make_module(), make_batch(3, 2))
    assert len(rounds) == 3
    names = {"loss", "focal", "dice", "iou", "iou_at", "iou_error_at", "empty_at"}
    assert all(losses.keys() == names for losses in rounds)
    assert all(value.shape == (5,) for losses in rounds for value in losses.values())


def test_images_with_3_and_40_prompts_have_the_losses_of_two_single_batches(
    make_module: MakeModule, make_batch
) -> None:
    module, batch = make_module().eval(), make_batch(3, 40)
    together = interact(module, batch)
    for image in range(2):
        mine = batch["image_index"] == image
        alone = {
            name: value[image : image + 1] if len(value) == 2 else value[mine]
            for name, value in batch.items()
            if name != "keys"
        }
        alone |= {"image_index": alone["image_index"] * 0, "keys": ["alone"]}
        for losses, expected in zip(interact(module, alone), together, strict=True):
            for name in expected:
                torch.testing.assert_close(losses[name], expected[name][mine], rtol=0, atol=1e-5)


def summed_gradients(module: SamModule, batch: Batch) -> dict[str, Tensor]:
    """One backward pass of the mean of all rounds' losses, by hand."""
    module.zero_grad()
    image_embeddings = module.sam.encode(batch["images"], batch["input_sizes"])
    prompts, logits, losses = None, None, []
    for new_point in module.annotator.plan(0):
        prompts = module.annotator(
            prompts,
            logits,
            gt_masks=batch["gt_masks"],
            seeds=mix_seeds(batch["object_seeds"], 0),
            sizes=torch.full((len(batch["gt_masks"]), 2), 16),
            image_size=64,
            new_point=new_point,
        )
        logits, values = module.play_round(image_embeddings, prompts, batch)
        logits = logits.detach()
        losses.append(values["loss"].mean())
    torch.stack(losses).mean().backward()
    return gradients(module)


def test_a_backward_pass_for_each_round_gives_the_gradients_of_their_mean(
    make_module: MakeModule, make_batch
) -> None:
    module, batch = make_module().eval(), make_batch(2, 3)
    interact(module, batch)
    by_rounds, at_once = gradients(module), summed_gradients(module, batch)
    assert any(name.startswith("image_encoder.trunk") for name in at_once)
    torch.testing.assert_close(by_rounds, at_once, rtol=1e-4, atol=1e-6)


def test_rounds_can_be_summed_instead_of_averaged(make_module: MakeModule, batch: Batch) -> None:
    mean, summed = twins(make_module, {}, {"rules": RoundRules(sum_rounds=True)})
    interact(mean, batch)
    interact(summed, batch)
    tripled = {name: 3 * gradient for name, gradient in gradients(mean).items()}
    torch.testing.assert_close(gradients(summed), tripled, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("autocast", [False, True])
def test_only_the_last_rounds_are_learned_from_if_told_so(
    make_module: MakeModule, batch: Batch, autocast: bool
) -> None:
    module = make_module(rules=RoundRules(gradient_rounds=1)).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        rounds = interact(module, batch)
    of_last = gradients(module)
    assert len(rounds) == 3
    assert any(gradient.any() for gradient in of_last.values())
    module.rules = RoundRules()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        interact(module, batch)
    all_rounds = gradients(module)
    single = "mask_decoder.output_hypernetworks_mlps.0.layers.0.weight"  # of later rounds alone
    multiple = "mask_decoder.output_hypernetworks_mlps.1.layers.0.weight"  # of the first alone
    assert of_last[single].any() and not of_last.get(multiple, torch.zeros(1)).any()
    assert all_rounds.keys() >= of_last.keys()


@pytest.mark.parametrize("mask_feedback", [True, False])
def test_gradients_flow_through_the_mask_prompt_if_it_is_not_detached(
    make_module: MakeModule, batch: Batch, mask_feedback: bool
) -> None:
    annotator = {"mask_feedback": mask_feedback}
    detached, attached = twins(
        make_module,
        {"annotator": annotator},
        {"annotator": annotator, "rules": RoundRules(detach_feedback=False)},
    )
    rounds, same_rounds = interact(detached, batch), interact(attached, batch)
    torch.testing.assert_close(rounds, same_rounds)
    through, stopped = gradients(attached), gradients(detached)
    changes = [(through[name] - stopped[name]).abs().max() for name in through]
    assert (max(changes) > 1e-7) == mask_feedback


def test_a_frozen_encoder_learns_nothing_and_the_decoder_does(
    make_module: MakeModule, batch: Batch
) -> None:
    module = make_module(affinity_weight=0.3)
    Adaptation(frozen=["image_encoder"]).apply(module.sam)
    interact(module, batch)
    learned = {name.split(".")[0] for name, gradient in gradients(module).items() if gradient.any()}
    assert learned == {"prompt_encoder", "mask_decoder"}


class Saved:
    """A tensor that a graph keeps."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def peak_of_saved_tensors(module: SamModule, batch: Batch) -> int:
    """The most bytes that graphs hold at any time."""
    held, peak = 0, 0

    def release(size: int) -> None:
        nonlocal held
        held -= size

    def pack(tensor: Tensor) -> Saved:
        nonlocal held, peak
        saved = Saved(tensor)
        held += tensor.nbytes
        peak = max(peak, held)
        weakref.finalize(saved, release, tensor.nbytes)
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved.tensor):
        interact(module, batch)
    assert held == 0
    return peak


def test_memory_does_not_grow_with_the_rounds(make_module: MakeModule, make_batch) -> None:
    batch = make_batch(8, 8)
    few, many, attached = (
        peak_of_saved_tensors(
            make_module({"num_corrections": 1, "rounds_without_point": extra}, **settings), batch
        )
        for extra, settings in ((0, {}), (7, {}), (7, {"rules": RoundRules(detach_feedback=False)}))
    )
    assert many <= 1.1 * few
    assert attached > 2 * few  # the measure sees what is kept


def test_an_image_with_300_masks_is_trained_on_the_memory_of_one_with_30(
    make_module: MakeModule, make_batch
) -> None:
    rounds = {"num_corrections": 1}
    module = make_module(rounds, passes=Passes(objects_per_call=10))
    few, many = (peak_of_saved_tensors(module, make_batch(count)) for count in (30, 300))
    all_at_once = peak_of_saved_tensors(make_module(rounds), make_batch(30))
    assert many <= 1.02 * few
    assert all_at_once > 1.2 * few  # the measure sees the objects


def test_a_lone_box_is_answered_by_three_masks_or_by_one(
    make_module: MakeModule, batch: Batch
) -> None:
    annotator = {"box_probability": 1.0, "num_corrections": 0}
    tokens = {}
    for ambiguous in (("point", "box"), ("point",)):
        module = make_module(annotator, rules=RoundRules(ambiguous=ambiguous))
        interact(module, batch)
        mlps = module.sam.mask_decoder.output_hypernetworks_mlps
        tokens[ambiguous] = [i for i in range(4) if mlps[i].layers[0].weight.grad.any()]
    assert 0 not in tokens["point", "box"]
    assert tokens["point",] == [0]


def test_the_same_step_plays_the_same_prompts_again(make_module: MakeModule, batch: Batch) -> None:
    module = make_module().eval()
    torch.testing.assert_close(interact(module, batch), interact(module, batch), rtol=0, atol=0)


class Losses(Callback):
    """Keeps the loss of every step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, *rest: Any) -> None:
        self.seen.append(trainer.callback_metrics["train/loss"].item())


@pytest.mark.filterwarnings("ignore")
def test_every_step_draws_other_prompts(make_module, make_trainer, batch: Batch) -> None:
    losses, module = Losses(), make_module(lr=1e-30)
    trainer = make_trainer(max_steps=3, callbacks=[losses])
    trainer.fit(module, DataLoader([batch] * 3, batch_size=None))
    assert len(set(losses.seen)) == 3


@pytest.mark.filterwarnings("ignore")
def test_training_overfits_two_masks(make_module, make_trainer, batch: Batch) -> None:
    y, x = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    disc = (x - 5).square() + (y - 6).square() < 12
    rectangle = (x > 6) & (x < 14) & (y > 3) & (y < 11)
    batch["gt_masks"] = torch.stack([disc, rectangle])
    module = make_module({"box_probability": 0.0}, lr=3e-3)
    make_trainer(max_steps=50).fit(module.train(), DataLoader([batch] * 50, batch_size=None))
    rounds = interact(module.eval(), batch | {"object_seeds": torch.tensor([1, 2])})
    assert rounds[2]["iou_at"].min() > 0.95


@pytest.mark.filterwarnings("ignore")
def test_a_step_logs_what_it_did(make_module, make_trainer, make_batch) -> None:
    trainer, module = make_trainer(max_steps=3), make_module(lr=1e-3)
    trainer.fit(module.train(), DataLoader([make_batch(2, 3)] * 3, batch_size=None))
    logged = trainer.logged_metrics
    assert logged["train/objects"] == 5
    assert logged["train/lr"] == pytest.approx(1e-3 * 0.3 * (0.01 + 0.99 * 0.25))
    assert {"train/iou_at_3", "train/empty_at_3", "train/gradient_norm"} <= logged.keys()
    assert "train/iou_at_4" not in logged
    assert module.images_seen == 6
