"""Our network against the official one on the same weights."""

from typing import Any

import pytest
import segment_anything
import torch
from segment_anything.modeling import ImageEncoderViT, PromptEncoder
from torch import Tensor, nn

from sam_train import sam_model_registry
from sam_train.modeling.build import build_sam_vit_b
from sam_train.modeling.checkpoint import official_state_dict
from sam_train.modeling.weights.official_names import SAM, renamed

PARAMETERS = {"vit_b": 93_735_472, "vit_l": 312_342_832, "vit_h": 641_090_608}


def draw_weights(module: nn.Module) -> nn.Module:
    """Gives memory and random weights to a module on the meta device."""
    module.to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        is_embedding = tensor.ndim == 2 and len(tensor) <= 4
        scale = 1.0 if is_embedding else 0.2 if tensor.ndim == 1 else tensor[0].numel() ** -0.5
        is_norm = tensor.ndim == 1 and name.endswith("weight")
        tensor.normal_(1.0 if is_norm else 0.0, scale, generator=generator)
    return module


def assert_same_embedding(image_size: int) -> None:
    """Compares two ViT-B encoders whose position tables are built for `image_size`."""
    with torch.device("meta"):
        ours = build_sam_vit_b(image_size=image_size).image_encoder
        official = ImageEncoderViT(
            img_size=image_size,
            embed_dim=768,
            depth=12,
            num_heads=12,
            norm_layer=lambda width: nn.LayerNorm(width, eps=1e-6),
            use_rel_pos=True,
            window_size=14,
            global_attn_indexes=(2, 5, 8, 11),
            out_chans=256,
        )
    draw_weights(official)
    prefix = "image_encoder."
    weights = renamed({prefix + k: tensor for k, tensor in official.state_dict().items()}, SAM)
    ours.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items()}, assign=True)
    image = torch.randn(1, 3, image_size, image_size)
    with torch.no_grad():
        expected = official(image)
        assert (ours.eval()(image) - expected).abs().max() < 1e-4
    assert 0.03 < expected.std() < 3  # the bound above means something


def test_the_image_encoder_equals_the_official_one() -> None:
    assert_same_embedding(256)


@pytest.mark.slow
def test_the_image_encoder_equals_the_official_one_at_full_size() -> None:
    assert_same_embedding(1024)


@pytest.mark.parametrize("name", PARAMETERS)
def test_sizes_names_and_order_of_the_weights_are_the_official_ones(name: str) -> None:
    with torch.device("meta"):
        ours, official = sam_model_registry[name](), segment_anything.sam_model_registry[name]()
    assert sum(parameter.numel() for parameter in ours.parameters()) == PARAMETERS[name]
    shapes, expected = (
        [(key, tensor.shape) for key, tensor in tensors.items()]
        for tensors in (official_state_dict(ours), official.state_dict())
    )
    assert shapes == expected


@pytest.fixture(scope="module")
def decoders() -> tuple[nn.Module, nn.Module]:
    """Prompt encoder and mask decoder, the same in vit_b, vit_l and vit_h, at image size 256."""
    with torch.device("meta"):
        ours = build_sam_vit_b(image_size=256)
        official = segment_anything.build_sam_vit_b()
        official.prompt_encoder = PromptEncoder(256, (16, 16), (256, 256), mask_in_chans=16)
        official.image_encoder = ours.image_encoder = nn.Identity()
    draw_weights(official)
    ours.to_empty(device="cpu").eval().load_state_dict(official.state_dict())
    return ours, official


def predict(
    sam: nn.Module, prompts: dict[str, Any], multimask_output: bool
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    sparse, dense = sam.prompt_encoder(**prompts)
    return sam.mask_decoder(
        image_embeddings=torch.randn(1, 256, 16, 16, generator=generator),
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask_output,
    )


def draw_prompts(points: int = 0, boxes: bool = False, masks: bool = False) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return 256 * torch.rand(*shape, generator=generator)

    labels = torch.tensor([[1, 0, -1, 1]])[:, :points].expand(2, -1)
    return {
        "points": (draw(2, points, 2), labels) if points else None,
        "boxes": draw(2, 4) if boxes else None,
        "masks": draw(2, 1, 64, 64) / 10 - 10 if masks else None,
    }


@pytest.mark.parametrize("multimask_output", [True, False])
@pytest.mark.parametrize(
    "prompts",
    [
        {"points": 1},
        {"points": 4},
        {"boxes": True},
        {"masks": True},
        {"points": 3, "boxes": True},
        {"points": 2, "masks": True},
        {"points": 4, "boxes": True, "masks": True},
        {},
    ],
    ids=lambda prompts: "+".join(prompts) or "nothing",
)
def test_prompt_encoder_and_decoder_equal_the_official_ones(
    decoders: tuple[nn.Module, nn.Module], prompts: dict[str, Any], multimask_output: bool
) -> None:
    drawn = draw_prompts(**prompts)
    with torch.no_grad():
        (logits, iou), (expected, expected_iou) = (
            predict(sam, drawn, multimask_output) for sam in decoders
        )
    assert (logits - expected).abs().max() < 1e-4
    assert (iou - expected_iou).abs().max() < 1e-4
    assert 0.1 < expected.std() < 10  # the bounds above mean something
