"""MobileSAM, EfficientSAM and timm's models: their files, and what they do otherwise than SAM."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam_train.inference.predictor import SamPredictor
from sam_train.interaction.prompts import Prompts, box_prompts, point_prompts
from sam_train.modeling.build import assemble_efficient, sam_model_registry
from sam_train.modeling.checkpoint import load_model, load_official, save_model, save_official
from sam_train.modeling.efficient_sam import EfficientSam, six_points
from sam_train.modeling.image_encoder.plain_vit import ImageEncoderPlain
from sam_train.modeling.image_encoder.tiny_vit import ImageEncoderTinyViT
from sam_train.modeling.sam import Sam


@pytest.fixture(scope="module")
def efficient() -> EfficientSam:
    torch.manual_seed(0)
    encoder = ImageEncoderPlain(64, 24, depth=2, num_heads=2, out_chans=32)
    sam = assemble_efficient(encoder, dim=32, depth=2, num_heads=4, mlp_dim=64, dropout=0.0)
    with torch.no_grad():
        for parameter in sam.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return sam.eval().requires_grad_(False)


def small_tiny_vit(image_size: int = 64) -> ImageEncoderTinyViT:
    return ImageEncoderTinyViT(
        image_size,
        embed_dims=(16, 16, 32, 32),
        depths=(1, 1, 1, 1),
        num_heads=(1, 1, 2, 2),
        out_chans=32,
    ).eval()


def test_mobile_sams_encoder_keeps_the_grid_of_stride_16() -> None:
    for side in (64, 96):
        assert small_tiny_vit(side)(torch.randn(2, 3, side, side)).shape == (
            2, 32, side // 16, side // 16
        )  # fmt: skip


def test_attention_biases_that_change_in_evaluation_count_and_learn() -> None:
    encoder, image = small_tiny_vit(), torch.randn(1, 3, 64, 64)
    before = encoder(image)
    biases = encoder.stages[1].blocks[0].attn.attention_biases
    with torch.no_grad():
        biases += torch.randn_like(biases)
    after = encoder(image)
    assert not torch.allclose(before, after)
    after.square().mean().backward()
    assert biases.grad.abs().sum() > 0


def test_every_block_of_mobile_sam_is_a_layer_of_the_decay() -> None:
    encoder = sam_model_registry["mobile_sam"](image_size=64).image_encoder
    layers = [encoder.layer_of(name) for name, _ in encoder.named_parameters()]
    assert layers == sorted(layers)
    assert set(layers) == set(range(encoder.num_layers + 2)) and encoder.num_layers == 12
    assert encoder.layer_of("stages.2.downsample.conv1.conv.weight") == 4


def test_the_position_table_is_enlarged_without_antialias() -> None:
    encoder = ImageEncoderPlain(64, 8, depth=0, num_heads=2, out_chans=4).requires_grad_(False)
    encoder.patch_embed["proj"].weight.zero_()
    encoder.patch_embed["proj"].bias.zero_()
    encoder.neck = nn.Identity()
    encoder.pos_embed.normal_()
    grid = encoder.pos_embed[:, 1:].reshape(1, 14, 14, 8).permute(0, 3, 1, 2)
    expected = F.interpolate(grid, (4, 4), mode="bicubic", antialias=False)
    assert torch.equal(encoder(torch.randn(1, 3, 64, 64)), expected)


def test_what_efficient_sam_is_not_told_is_a_point_at_minus_one() -> None:
    coords, labels = (
        torch.tensor([[[9.0, 5.0], [0.0, 0.0], [3.0, 4.0]]]),
        torch.tensor([[1, -1, 0]]),
    )
    coords, labels = six_points(coords, labels)
    assert labels.tolist() == [[1, 0, -1, -1, -1, -1]]
    assert coords[0].tolist() == [[9, 5], [3, 4], *[[-1, -1]] * 4]


def test_efficient_sam_hears_the_first_six_points_and_the_box(efficient: EfficientSam) -> None:
    coords, labels = 64 * torch.rand(1, 8, 2), torch.ones(1, 8, dtype=torch.int64)
    encoder = efficient.prompt_encoder
    six, _ = encoder((coords[:, :6], labels[:, :6]), None)
    assert torch.equal(encoder((coords, labels), None)[0], six)
    box = torch.tensor([[4.0, 6.0, 40.0, 50.0]])
    tokens, _ = encoder((coords, labels), box)
    assert torch.equal(tokens[:, :2], encoder(None, box)[0][:, :2])
    assert torch.equal(tokens[:, 2:], six[:, :4])


def test_a_background_click_of_efficient_sam_is_its_position_alone(efficient: EfficientSam) -> None:
    encoder, coords = efficient.prompt_encoder, torch.tensor([[[9.0, 5.0]]])
    tokens = encoder.embed_points(coords, torch.tensor([[0]]))
    torch.testing.assert_close(
        tokens[:, :1], encoder.pe_layer.encode_pixels(coords + 0.5, (64, 64))
    )


def test_efficient_sam_normalizes_whole_maps(efficient: EfficientSam) -> None:
    decoder, embedding = efficient.mask_decoder, torch.randn(2, 32, 4, 4)
    pixels = decoder.upscale(embedding.flatten(2).transpose(1, 2), embedding[:, :0])
    by_cell = decoder.output_upscaling(embedding)  # its layers, one after the other
    cells = by_cell.unflatten(3, (4, 2, 2)).unflatten(2, (4, 2, 2)).permute(0, 2, 5, 3, 6, 4, 7, 1)
    torch.testing.assert_close(pixels, cells.flatten(1, 6), rtol=0, atol=1e-5)


def test_positions_stay_in_the_tokens_of_efficient_sam(efficient: EfficientSam) -> None:
    first, second = efficient.mask_decoder.transformer.layers
    tokens, pe = torch.randn(2, 5, 32), torch.randn(2, 5, 32)
    placed = tokens + pe
    assert torch.equal(
        first.attend_to_tokens(tokens, pe), tokens + first.self_attn(tokens, tokens, tokens)
    )
    assert torch.equal(
        second.attend_to_tokens(tokens, pe), placed + second.self_attn(placed, placed, placed)
    )


def test_efficient_sam_answers_prompts_of_several_images(efficient: EfficientSam) -> None:
    embeddings = torch.randn(2, 32, 4, 4)
    both = point_prompts(torch.tensor([[9.0, 5.0], [30.0, 40.0]]), torch.tensor([1, 1]))
    masks = both.with_masks(torch.randn(2, 1, 16, 16))
    logits, iou_pred = efficient.decode(embeddings, masks, torch.tensor([0, 1]))
    for image in range(2):
        one = slice(image, image + 1)
        alone, _ = efficient.decode(embeddings[one], both[one], torch.tensor([0]))
        torch.testing.assert_close(logits[image, None], alone, rtol=0, atol=1e-5)
    assert iou_pred.shape == (2, 4)


def test_efficient_sam_stretches_images_and_enlarges_masks_by_splines(
    efficient: EfficientSam,
) -> None:
    predictor = SamPredictor(efficient)
    predictor.set_image(torch.randint(0, 256, (30, 50, 3), dtype=torch.uint8).numpy())
    assert predictor.input_size == (64, 64)
    coords = predictor.transform.apply_coords_torch(torch.tensor([[25.0, 15.0]]), (30, 50))
    assert coords.tolist() == [[32, 32]]
    logits, _, low_res_logits = predictor.predict([[25, 15]], [1], return_logits=True)
    enlarged = F.interpolate(torch.from_numpy(low_res_logits)[None], (30, 50), mode="bicubic")
    torch.testing.assert_close(torch.from_numpy(logits), enlarged[0])


def test_an_efficient_sam_that_keeps_the_aspect_pads_images_as_sam(tmp_path: Path) -> None:
    built = sam_model_registry["efficient_sam_ti"](image_size=64, keeps_aspect=True)
    save_model(built, tmp_path / "model.safetensors", model=built.recipe[0], config=built.recipe[1])
    predictor = SamPredictor(load_model(tmp_path / "model.safetensors"))
    predictor.set_image(torch.randint(0, 256, (30, 50, 3), dtype=torch.uint8).numpy())
    assert predictor.input_size == (38, 64)
    logits, _, low_res_logits = predictor.predict([[25, 15]], [1], return_logits=True)
    low_res_logits = torch.from_numpy(low_res_logits)[None]
    enlarged = Sam.postprocess_masks(built, low_res_logits, (38, 64), (30, 50))
    torch.testing.assert_close(torch.from_numpy(logits), enlarged[0])


@pytest.mark.parametrize(
    ("trunk", "levels"), [("convnext_atto", [16, 32]), ("vit_tiny_patch16_224", [16])]
)
def test_a_network_of_timm_becomes_an_encoder(
    tmp_path: Path, trunk: str, levels: list[int]
) -> None:
    sam = sam_model_registry["timm"](image_size=64, trunk=trunk, dim=32)
    assert sam.image_encoder.trunk.feature_info.reduction() == levels
    image, size = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8), torch.tensor([[64, 40]])
    prompts: Prompts = box_prompts(torch.tensor([[4.0, 4.0, 40.0, 40.0]]))

    logits, iou_pred = sam.decode(sam.encode(image, size), prompts, torch.tensor([0]))
    (logits.square().mean() + iou_pred.sum()).backward()
    first: Tensor = next(sam.image_encoder.trunk.parameters())
    assert first.grad is not None and first.grad.abs().sum() > 0

    name, config = sam.recipe
    save_model(sam, tmp_path / "model.safetensors", model=name, config=config)
    again = load_model(tmp_path / "model.safetensors")
    assert torch.equal(again.encode(image, size), sam.encode(image, size))


def test_what_timm_cannot_do_is_said_in_a_sentence() -> None:
    build = sam_model_registry["timm"]
    with pytest.raises(ValueError, match="timm has no model 'resnet19'"):
        build(trunk="resnet19", image_size=64)
    with pytest.raises(ValueError, match="resnet18 cannot encode .* unexpected keyword argument"):
        build(trunk="resnet18", trunk_options={"colour": 1}, image_size=64)
    with pytest.raises(ValueError, match="image_size 100 is not a multiple of the stride 16"):
        build(trunk="resnet18", image_size=100)
    with pytest.raises(ValueError, match="image_size 0 is not a multiple"):
        sam_model_registry["mobile_sam"](image_size=0)


@pytest.mark.parametrize("name", ["mobile_sam", "efficient_sam_ti"])
def test_our_own_files_hold_a_model_of_the_family(tmp_path: Path, name: str) -> None:
    sam = sam_model_registry[name](image_size=64)
    save_model(sam, tmp_path / "model.safetensors", model=name, config=sam.recipe[1])
    again = load_model(tmp_path / "model.safetensors")
    assert type(again) is type(sam)
    torch.testing.assert_close(again.state_dict(), sam.state_dict(), rtol=0, atol=0)


def test_a_file_of_another_family_is_named(tmp_path: Path) -> None:
    save_official(sam_model_registry["efficient_sam_ti"](image_size=64), tmp_path / "e.pt")
    with pytest.raises(ValueError, match="looks like efficient_sam_ti: build"):
        load_official(sam_model_registry["mobile_sam"](image_size=64), tmp_path / "e.pt")
    torch.save({"sam_mask_decoder.iou_token.weight": torch.zeros(1)}, tmp_path / "2.pt")
    with pytest.raises(ValueError, match="looks like SAM 2, which is no model"):
        load_official(sam_model_registry["mobile_sam"](image_size=64), tmp_path / "2.pt")
