from pathlib import Path
from typing import Any

import pytest
import torch

from sam_train.interaction.prompts import point_prompts
from sam_train.modeling.build import build_sam_tiny, build_sam_vit_b, sam_model_registry
from sam_train.modeling.checkpoint import save_model
from sam_train.modeling.sam import Sam


def shapes(sam: Sam) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in sam.state_dict().items()}


def test_the_default_model_is_vit_h() -> None:
    assert list(sam_model_registry)[:4] == ["default", "vit_h", "vit_l", "vit_b"]
    assert sam_model_registry["default"] is sam_model_registry["vit_h"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tiny", {"image_size": 64}),
        ("tiny", {"image_size": 96, "dim": 32}),
        ("tiny_plain", {"image_size": 48, "dim": 32}),
        ("vit_b", {"image_size": 512, "decoder_depth": 3}),
        ("mobile_sam", {"image_size": 64}),
        ("efficient_sam_s", {"image_size": 64}),
        (
            "timm",
            {"image_size": 64, "trunk": "resnet10t", "trunk_options": {"drop_path_rate": 0.1}},
        ),
    ],
)
def test_the_recipe_builds_the_model_again(name: str, options: dict[str, Any]) -> None:
    with torch.device("cpu" if name in ("tiny", "tiny_plain", "timm") else "meta"):
        sam = sam_model_registry[name](**options)
        recipe, arguments = sam.recipe
        again = sam_model_registry[recipe](**arguments)
    assert recipe == name
    assert arguments.items() >= options.items()
    assert shapes(again) == shapes(sam)


def test_low_res_logits_have_four_times_the_side_of_the_embedding() -> None:
    sam = build_sam_tiny(image_size=64, dim=32).requires_grad_(False)
    images, sizes = torch.zeros(1, 3, 64, 64, dtype=torch.uint8), torch.tensor([[64, 64]])
    prompts = point_prompts(torch.tensor([[9.0, 9.0]]), torch.tensor([1]))
    logits, iou_pred = sam.decode(sam.encode(images, sizes), prompts, torch.tensor([0]))
    assert logits.shape == (1, 4, 16, 16)
    assert iou_pred.shape == (1, 4)
    assert sam.prompt_encoder.mask_input_size == (16, 16)


def test_image_sizes_that_no_grid_fits_are_refused() -> None:
    with pytest.raises(ValueError, match="image_size 100 is not a multiple of the patch size 16"):
        build_sam_vit_b(image_size=100)
    with pytest.raises(ValueError, match="image_size 80 is not a multiple of .* stride 32"):
        build_sam_tiny(image_size=80)


def test_a_model_is_built_for_evaluation_with_or_without_a_checkpoint(tmp_path: Path) -> None:
    sam = build_sam_tiny(image_size=64, dim=32)
    save_model(sam, tmp_path / "model.safetensors", model="tiny", config={})
    loaded = build_sam_tiny(tmp_path / "model.safetensors", image_size=64, dim=32)
    assert not sam.training and not loaded.training
    torch.testing.assert_close(loaded.state_dict(), sam.state_dict(), rtol=0, atol=0)


def test_a_tiny_model_starts_with_positions_as_its_image_embedding() -> None:
    sam = build_sam_tiny(image_size=64)
    assert torch.equal(sam.image_encoder.pos_embed, sam.prompt_encoder.get_dense_pe())
    attention = sam.mask_decoder.transformer.final_attn_token_to_image
    assert torch.equal(attention.q_proj.weight, attention.k_proj.weight)


def test_an_untrained_tiny_model_attends_around_the_click() -> None:
    sam = build_sam_tiny(image_size=256).requires_grad_(False)
    attention = sam.mask_decoder.transformer.final_attn_token_to_image
    click = torch.tensor([[[5 * 16 + 7.5, 9 * 16 + 7.5]]])  # the centre of column 5, row 9
    token = sam.prompt_encoder.pe_layer.encode_pixels(click + 0.5, (256, 256))
    cells = sam.prompt_encoder.get_dense_pe().flatten(2).transpose(1, 2)
    scores = (attention.q_proj(token) @ attention.k_proj(cells).transpose(1, 2)).flatten()
    assert divmod(scores.argmax().item(), 16) == (9, 5)


def test_drop_path_acts_in_training_alone() -> None:
    encoder = build_sam_tiny(image_size=64, dim=32, drop_path_rate=0.5).image_encoder
    encoder.requires_grad_(False)
    for parameter in encoder.parameters():  # residual branches start at zero
        parameter.normal_(std=0.1)
    image = torch.randn(4, 3, 64, 64)
    assert torch.equal(encoder(image), encoder(image))
    encoder.train()
    assert not torch.equal(encoder(image), encoder(image))


def test_dropout_acts_in_training_alone() -> None:
    sam = build_sam_tiny(image_size=64, dim=32, dropout=0.5).requires_grad_(False)
    prompts = point_prompts(torch.tensor([[9.0, 9.0]]), torch.tensor([1]))
    inputs = torch.randn(1, 32, 4, 4), prompts, torch.tensor([0])
    assert torch.equal(sam.decode(*inputs)[0], sam.decode(*inputs)[0])
    sam.train()
    assert not torch.equal(sam.decode(*inputs)[0], sam.decode(*inputs)[0])
