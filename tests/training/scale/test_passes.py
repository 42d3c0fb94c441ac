from collections.abc import Callable

import pytest
import torch

from sam_train.data.stream.collate import Batch
from sam_train.training.sam_module import SamModule
from sam_train.training.scale.passes import Passes, saved_bytes, take_images

MakeModule = Callable[..., SamModule]


def gradients(module: SamModule, batch: Batch, passes: Passes) -> dict[str, torch.Tensor]:
    module.zero_grad()
    module.passes, module._per_call = passes, passes.objects_per_call
    module.interact(batch)
    return {n: p.grad.clone() for n, p in module.sam.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    "passes",
    [
        Passes(objects_per_call=2),
        Passes(images_per_pass=1),
        Passes(images_per_pass=2, objects_per_call=3),
    ],
)
def test_a_batch_in_parts_has_the_gradients_of_the_whole(
    make_module: MakeModule, make_batch, passes: Passes
) -> None:
    module, batch = make_module({"rounds_without_point": 2}).eval(), make_batch(5, 1, 3)
    whole, parts = (gradients(module, batch, each) for each in (Passes(), passes))
    assert whole.keys() == parts.keys()
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)


def test_the_losses_of_parts_are_those_of_the_whole_in_its_order(
    make_module: MakeModule, make_batch
) -> None:
    batch = make_batch(5, 2)
    module = make_module().eval()
    whole, masks = module.interact(batch)
    module.passes, module._per_call = Passes(images_per_pass=1), 2
    parts, same_masks = module.interact(batch)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)
    assert torch.equal(masks, same_masks)


def test_images_are_taken_with_their_objects(make_batch) -> None:
    batch = make_batch(2, 1, 3)
    part = take_images(batch, 1, 3)
    assert part["keys"] == ["1", "2"]
    assert part["image_index"].tolist() == [0, 1, 1, 1]
    assert torch.equal(part["gt_masks"], batch["gt_masks"][2:])


def test_a_budget_is_turned_into_a_number_of_objects() -> None:
    passes = Passes(decoder_memory_gib=1.0)
    fixed, each = 2**28, 2**26
    assert passes.choose_objects_per_call(lambda count: fixed + count * each) == 12
    with pytest.raises(ValueError, match="decoder_memory_gib is 1.0, but one object needs 2.00"):
        passes.choose_objects_per_call(lambda count: count * 2**31)


def test_a_graph_is_measured_by_what_it_keeps() -> None:
    weight = torch.ones(1000, requires_grad=True)
    assert saved_bytes(lambda: (weight * weight).exp()) == 8000  # the weight, the result


def test_a_decoder_call_stays_within_its_budget(make_module: MakeModule, make_batch) -> None:
    budget = 0.002  # GiB
    module = make_module(passes=Passes(decoder_memory_gib=budget)).eval()
    batch = make_batch(30)
    module.interact(batch)
    chosen = module._per_call
    assert 1 <= chosen < 30
    shared = module.sam.encode(batch["images"], batch["input_sizes"]).detach()
    some = next(iter(module.passes.objects(batch, chosen)))
    prompts = module.annotator.first_prompt(
        some["gt_masks"], some["object_seeds"], sizes=torch.full((chosen, 2), 16), image_size=64
    )
    side = module.sam.prompt_encoder.mask_input_size
    prompts = prompts.with_masks(torch.zeros(chosen, 1, *side))
    assert saved_bytes(lambda: module.play_round(shared, prompts, some)) <= budget * 2**30


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"objects_per_call": 0}, "objects_per_call is 0"),
        ({"images_per_pass": -1}, "images_per_pass is -1"),
        ({"objects_per_call": 4, "decoder_memory_gib": 1.0}, "not both"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Passes(**settings)
