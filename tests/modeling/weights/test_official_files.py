"""Files with the names, order and shapes of the published ones go in and come out unchanged.

The names are written down from the code of ChaoningZhang/MobileSAM and yformer/EfficientSAM.
"""

import sys
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sam_train.modeling.build import sam_model_registry
from sam_train.modeling.checkpoint import load_official, official_state_dict, save_official

PARAMETERS = {
    "mobile_sam": 10_130_092,  # 9,808,452 without the classifier that is never called
    "efficient_sam_ti": 10_223_204,
    "efficient_sam_s": 26_413_028,
}

Named = Iterator[tuple[str, tuple[int, ...]]]


def layer(name: str, *shape: int) -> Named:
    """A layer with weight and bias."""
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def norm(name: str, width: int) -> Named:
    yield from layer(name, width)


def conv_bn(name: str, *shape: int) -> Named:
    yield f"{name}.c.weight", shape
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.bn.{part}", shape[:1]
    yield f"{name}.bn.num_batches_tracked", ()


def neck(width: int) -> Named:
    yield "image_encoder.neck.0.weight", (256, width, 1, 1)
    yield from norm("image_encoder.neck.1", 256)
    yield "image_encoder.neck.2.weight", (256, 256, 3, 3)
    yield from norm("image_encoder.neck.3", 256)


def transformer(mlp: tuple[str, str]) -> Named:
    """The two-way transformer; the layers of its MLPs have the two names."""
    prefix = "mask_decoder.transformer"
    for block in range(2):
        name = f"{prefix}.layers.{block}"
        yield from attention(f"{name}.self_attn", 256)
        yield from norm(f"{name}.norm1", 256)
        yield from attention(f"{name}.cross_attn_token_to_image", 128)
        yield from norm(f"{name}.norm2", 256)
        yield from layer(f"{name}.mlp.{mlp[0]}", 2048, 256)
        yield from layer(f"{name}.mlp.{mlp[1]}", 256, 2048)
        yield from norm(f"{name}.norm3", 256)
        yield from norm(f"{name}.norm4", 256)
        yield from attention(f"{name}.cross_attn_image_to_token", 128)
    yield from attention(f"{prefix}.final_attn_token_to_image", 128)
    yield from norm(f"{prefix}.norm_final_attn", 256)
    yield "mask_decoder.iou_token.weight", (1, 256)
    yield "mask_decoder.mask_tokens.weight", (4, 256)


def attention(name: str, inner: int) -> Named:
    for projection in ("q_proj", "k_proj", "v_proj"):
        yield from layer(f"{name}.{projection}", inner, 256)
    yield from layer(f"{name}.out_proj", 256, inner)


def mlp(name: str, layers: tuple[str, str, str], output: int) -> Named:
    for part, width in zip(layers, (256, 256, output), strict=True):
        yield from layer(f"{name}.{part}", width, 256)


def heads(layers: tuple[str, str, str]) -> Named:
    for token in range(4):
        yield from mlp(f"mask_decoder.output_hypernetworks_mlps.{token}", layers, 32)
    yield from mlp("mask_decoder.iou_prediction_head", layers, 4)


def mobile_sam() -> Named:
    dims, depths, sides = (64, 128, 160, 320), (2, 2, 6, 2), (7, 7, 14, 7)
    heads_of = (2, 4, 5, 10)
    yield from conv_bn("image_encoder.patch_embed.seq.0", 32, 3, 3, 3)
    yield from conv_bn("image_encoder.patch_embed.seq.2", 64, 32, 3, 3)
    for index, (dim, after) in enumerate(pairwise((*dims, 0))):
        prefix = f"image_encoder.layers.{index}"
        for block in range(depths[index]):
            name = f"{prefix}.blocks.{block}"
            if index == 0:
                yield from conv_bn(f"{name}.conv1", 4 * dim, dim, 1, 1)
                yield from conv_bn(f"{name}.conv2", 4 * dim, 1, 3, 3)
                yield from conv_bn(f"{name}.conv3", dim, 4 * dim, 1, 1)
                continue
            yield f"{name}.attn.attention_biases", (heads_of[index], sides[index] ** 2)
            yield from norm(f"{name}.attn.norm", dim)
            yield from layer(f"{name}.attn.qkv", 3 * dim, dim)
            yield from layer(f"{name}.attn.proj", dim, dim)
            yield from norm(f"{name}.mlp.norm", dim)
            yield from layer(f"{name}.mlp.fc1", 4 * dim, dim)
            yield from layer(f"{name}.mlp.fc2", dim, 4 * dim)
            yield from conv_bn(f"{name}.local_conv", dim, 1, 3, 3)
        if after:
            yield from conv_bn(f"{prefix}.downsample.conv1", after, dim, 1, 1)
            yield from conv_bn(f"{prefix}.downsample.conv2", after, 1, 3, 3)
            yield from conv_bn(f"{prefix}.downsample.conv3", after, after, 1, 1)
    yield from norm("image_encoder.norm_head", 320)
    yield from layer("image_encoder.head", 1000, 320)
    yield from neck(320)
    yield from sam_prompt_encoder()
    yield from transformer(("lin1", "lin2"))
    yield from transposed("output_upscaling.0", 256, 64)
    yield from norm("mask_decoder.output_upscaling.1", 64)
    yield from transposed("output_upscaling.3", 64, 32)
    yield from heads(("layers.0", "layers.1", "layers.2"))


def sam_prompt_encoder() -> Named:
    yield "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", (2, 128)
    for index in range(4):
        yield f"prompt_encoder.point_embeddings.{index}.weight", (1, 256)
    yield "prompt_encoder.not_a_point_embed.weight", (1, 256)
    yield from layer("prompt_encoder.mask_downscaling.0", 4, 1, 2, 2)
    yield from norm("prompt_encoder.mask_downscaling.1", 4)
    yield from layer("prompt_encoder.mask_downscaling.3", 16, 4, 2, 2)
    yield from norm("prompt_encoder.mask_downscaling.4", 16)
    yield from layer("prompt_encoder.mask_downscaling.6", 256, 16, 1, 1)
    yield "prompt_encoder.no_mask_embed.weight", (1, 256)


def transposed(name: str, before: int, after: int) -> Named:
    yield f"mask_decoder.{name}.weight", (before, after, 2, 2)
    yield f"mask_decoder.{name}.bias", (after,)


def efficient_sam(width: int) -> Named:
    yield "image_encoder.pos_embed", (1, 197, width)
    yield from layer("image_encoder.patch_embed.proj", width, 3, 16, 16)
    for block in range(12):
        name = f"image_encoder.blocks.{block}"
        yield from norm(f"{name}.norm1", width)
        yield from layer(f"{name}.attn.qkv", 3 * width, width)
        yield from layer(f"{name}.attn.proj", width, width)
        yield from norm(f"{name}.norm2", width)
        yield from layer(f"{name}.mlp.fc1", 4 * width, width)
        yield from layer(f"{name}.mlp.fc2", width, 4 * width)
    yield from neck(width)
    yield "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", (2, 128)
    for kind in ("invalid_points", "point_embeddings", "bbox_top_left", "bbox_bottom_right"):
        suffix = "_embeddings" if kind.startswith("bbox") else ""
        yield f"prompt_encoder.{kind}{suffix}.weight", (1, 256)
    yield from transformer(("layers.0.0", "fc"))
    yield from transposed("final_output_upscaling_layers.0.0", 256, 64)
    yield from norm("mask_decoder.final_output_upscaling_layers.0.1", 64)
    yield from transposed("final_output_upscaling_layers.1.0", 64, 32)
    yield from heads(("layers.0.0", "layers.1.0", "fc"))


FILES = {
    "mobile_sam": list(mobile_sam()),
    "efficient_sam_ti": list(efficient_sam(192)),
    "efficient_sam_s": list(efficient_sam(384)),
}


@pytest.mark.parametrize("name", FILES)
def test_names_order_and_number_of_the_weights_are_the_published_ones(name: str) -> None:
    with torch.device("meta"):
        sam = sam_model_registry[name]()
    shapes = [(key, tuple(tensor.shape)) for key, tensor in official_state_dict(sam).items()]
    assert shapes == FILES[name]
    assert sum(parameter.numel() for parameter in sam.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", ["mobile_sam", "efficient_sam_ti"])
def test_a_published_file_comes_back_unchanged(tmp_path: Path, name: str) -> None:
    published = {key: draw(key, shape) for key, shape in FILES[name]}
    is_efficient = name.startswith("efficient_sam")
    content = {"model": published} if is_efficient else published
    torch.save(content, tmp_path / "published.pt")
    sam = sam_model_registry[name](tmp_path / "published.pt", image_size=64)
    save_official(sam, tmp_path / "written.pt")
    written = torch.load(tmp_path / "written.pt", weights_only=True)
    written = written["model"] if is_efficient else written
    assert list(written) == list(published)
    assert all(torch.equal(written[key], tensor) for key, tensor in published.items())


def draw(name: str, shape: tuple[int, ...]) -> Tensor:
    """Weights of a size at which every layer has a say."""
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    scale = 0.2 if len(shape) < 2 else 1 / shape[1] ** 0.5
    is_scale = name.endswith(("running_var", "weight")) and len(shape) == 1
    mean = 1.0 if is_scale else 0.0
    return (mean + scale * torch.randn(shape)).abs() if mean else scale * torch.randn(shape)


@pytest.mark.parametrize("name", FILES)
def test_a_published_file_that_lacks_a_weight_is_refused(tmp_path: Path, name: str) -> None:
    published = {key: torch.zeros(shape) for key, shape in FILES[name][:-1]}
    torch.save({"model": published}, tmp_path / "part.pt")
    sam = sam_model_registry[name](image_size=64)
    with pytest.raises(
        ValueError, match="another model: mask_decoder.iou_prediction_head.* is mis"
    ):
        load_official(sam, tmp_path / "part.pt")


@pytest.fixture
def official_mobile_sam() -> Iterator[nn.Module]:
    """The network of the package `mobile_sam` (`pip install mobilesam-mirror`)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports timm by names of old
        registry = pytest.importorskip("mobile_sam").sam_model_registry
        network = registry["vit_t"]()
    network.load_state_dict({key: draw(key, shape) for key, shape in FILES["mobile_sam"]})
    yield network.eval()  # again: it gathers its attention's biases then
    for module in [name for name in sys.modules if name.startswith("mobile_sam")]:
        del sys.modules[module]


@pytest.mark.slow
def test_mobile_sam_equals_its_package_at_full_size(
    tmp_path: Path, official_mobile_sam: nn.Module
) -> None:
    torch.save(official_mobile_sam.state_dict(), tmp_path / "mobile_sam.pt")
    sam = sam_model_registry["mobile_sam"](tmp_path / "mobile_sam.pt")
    image = torch.randn(1, 3, 1024, 1024)
    points = (1024 * torch.rand(2, 3, 2), torch.tensor([[1, 0, -1]]).expand(2, -1))
    with torch.no_grad():
        embeddings, expected = (
            network.image_encoder(image) for network in (sam, official_mobile_sam)
        )
        assert (embeddings - expected).abs().max() < 1e-4
        assert 0.1 < expected.std() < 10  # the bound above means something
        ours, official = (
            answers(network, expected, points) for network in (sam, official_mobile_sam)
        )
    for one, other in zip(ours, official, strict=True):
        assert (one - other).abs().max() < 1e-4


def answers(
    network: nn.Module, embeddings: Tensor, points: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    sparse, dense = network.prompt_encoder(points=points, boxes=None, masks=None)
    return network.mask_decoder(
        image_embeddings=embeddings,
        image_pe=network.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
    )
