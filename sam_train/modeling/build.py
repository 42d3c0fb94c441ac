"""Builds the models by name; sizes live only here."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from sam_train.modeling.efficient_sam import (
    EfficientBlock,
    EfficientMaskDecoder,
    EfficientSam,
    PointEncoder,
)
from sam_train.modeling.image_encoder.detailed_vit import ImageEncoderDetailed
from sam_train.modeling.image_encoder.plain_vit import ImageEncoderPlain
from sam_train.modeling.image_encoder.pyramid import ImageEncoderPyramid
from sam_train.modeling.image_encoder.timm_trunk import WEIGHT_OPTIONS, ImageEncoderTimm
from sam_train.modeling.image_encoder.tiny_vit import ImageEncoderTinyViT
from sam_train.modeling.image_encoder.vit import ImageEncoderViT
from sam_train.modeling.maps.prompt_maps import NUM_MAPS
from sam_train.modeling.mask_decoder import MaskDecoder
from sam_train.modeling.prompt_encoder import PromptEncoder
from sam_train.modeling.sam import Sam
from sam_train.modeling.transformer import TwoWayTransformer
from sam_train.modeling.weights.loading import load_checkpoint

Model = TypeVar("Model", bound=Sam)

# embed_dim, depth, num_heads, global attention blocks: segment_anything/build_sam.py.
VIT_SIZES = {
    "vit_b": (768, 12, 12, (2, 5, 8, 11)),
    "vit_l": (1024, 24, 16, (5, 11, 17, 23)),
    "vit_h": (1280, 32, 16, (7, 15, 23, 31)),
}
TINY_CHANNELS = (32, 64, 128, 256)
# embed_dim, num_heads: efficient_sam/build_efficient_sam.py.
PLAIN_SIZES = {"efficient_sam_ti": (192, 3), "efficient_sam_s": (384, 6)}


def build_sam_vit(
    size: str,
    checkpoint: str | Path | None = None,
    *,
    image_size: int = 1024,
    drop_path_rate: float = 0.0,
    dropout: float = 0.0,
    decoder_depth: int = 2,
) -> Sam:
    """Builds SAM ViT-B, L or H. `image_size` is a multiple of 16; tables are fitted on loading."""
    check_image_size(image_size, 16, "the patch size")
    embed_dim, depth, num_heads, global_attn_indexes = VIT_SIZES[size]
    image_encoder = ImageEncoderViT(
        image_size,
        embed_dim,
        depth=depth,
        num_heads=num_heads,
        global_attn_indexes=global_attn_indexes,
        drop_path_rate=drop_path_rate,
    )
    sam = assemble(
        image_encoder, dim=256, depth=decoder_depth, num_heads=8, mlp_dim=2048, dropout=dropout
    )
    options = {"image_size": image_size, "decoder_depth": decoder_depth}
    return ready(sam, checkpoint, recipe=(size, options))


def build_sam_tiny(
    checkpoint: str | Path | None = None,
    *,
    image_size: int = 256,
    dim: int = 128,
    channels: Sequence[int] = TINY_CHANNELS,
    drop_path_rate: float = 0.0,
    dropout: float = 0.0,
) -> Sam:
    """Builds the small model that two CPU cores can train. `image_size` is a multiple of 32.

    `channels` are those of the encoder's levels of stride 4 to 32.
    """
    check_image_size(image_size, 32, "the coarsest stride")
    image_encoder = ImageEncoderPyramid(
        image_size,
        "resnet18d",
        out_chans=dim,
        channels=tuple(channels),
        drop_path_rate=drop_path_rate,
    )
    sam = assemble_tiny(image_encoder, dim=dim, dropout=dropout)
    options: dict[str, Any] = {"image_size": image_size, "dim": dim}
    if tuple(channels) != TINY_CHANNELS:
        options["channels"] = list(channels)
    return ready(sam, checkpoint, recipe=("tiny", options))


def build_sam_tiny_plain(
    checkpoint: str | Path | None = None,
    *,
    image_size: int = 256,
    dim: int = 128,
    drop_path_rate: float = 0.0,
    dropout: float = 0.0,
) -> Sam:
    """Builds `tiny` with the plain ViT of EfficientSAM-Ti. `image_size` is a multiple of 16."""
    check_image_size(image_size, 16, "the patch size")
    embed_dim, num_heads = PLAIN_SIZES["efficient_sam_ti"]
    image_encoder = ImageEncoderDetailed(
        image_size,
        embed_dim,
        out_chans=dim,
        depth=12,
        num_heads=num_heads,
        drop_path_rate=drop_path_rate,
    )
    sam = assemble_tiny(image_encoder, dim=dim, dropout=dropout)
    return ready(sam, checkpoint, recipe=("tiny_plain", {"image_size": image_size, "dim": dim}))


def build_mobile_sam(
    checkpoint: str | Path | None = None,
    *,
    image_size: int = 1024,
    drop_path_rate: float = 0.0,
    dropout: float = 0.0,
) -> Sam:
    """Builds MobileSAM, SAM with TinyViT-5M. `image_size` is a multiple of 16."""
    check_image_size(image_size, 16, "the stride")
    image_encoder = ImageEncoderTinyViT(image_size, drop_path_rate=drop_path_rate)
    sam = assemble(image_encoder, dim=256, depth=2, num_heads=8, mlp_dim=2048, dropout=dropout)
    return ready(sam, checkpoint, recipe=("mobile_sam", {"image_size": image_size}))


def build_efficient_sam(
    size: str,
    checkpoint: str | Path | None = None,
    *,
    image_size: int = 1024,
    keeps_aspect: bool = False,
    drop_path_rate: float = 0.0,
    dropout: float = 0.0,
) -> EfficientSam:
    """Builds EfficientSAM Ti or S. `image_size` is a multiple of 16; images are stretched to it.

    A model that `keeps_aspect` pads them as SAM does; so it is for weights that were trained so.
    """
    check_image_size(image_size, 16, "the patch size")
    embed_dim, num_heads = PLAIN_SIZES[size]
    image_encoder = ImageEncoderPlain(
        image_size, embed_dim, depth=12, num_heads=num_heads, drop_path_rate=drop_path_rate
    )
    sam = assemble_efficient(
        image_encoder, dim=256, depth=2, num_heads=8, mlp_dim=2048, dropout=dropout
    )
    sam.keeps_aspect = keeps_aspect
    options = {"image_size": image_size, "keeps_aspect": keeps_aspect}
    return ready(sam, checkpoint, recipe=(size, options))


def build_sam_timm(
    checkpoint: str | Path | None = None,
    *,
    trunk: str = "convnext_nano",
    trunk_options: Mapping[str, Any] | None = None,
    image_size: int = 1024,
    dim: int = 256,
    dropout: float = 0.0,
) -> Sam:
    """Builds SAM's decoder on any feature extractor of timm. `image_size` is a multiple of 16.

    `trunk_options` are arguments of `timm.create_model`, such as pretrained or drop_path_rate.
    """
    check_image_size(image_size, 16, "the stride")
    options = dict(trunk_options or {})
    image_encoder = ImageEncoderTimm(image_size, trunk, out_chans=dim, **options)
    sam = assemble(image_encoder, dim=dim, depth=2, num_heads=8, mlp_dim=8 * dim, dropout=dropout)
    sam.start_from_positions()
    shape = {key: value for key, value in options.items() if key not in WEIGHT_OPTIONS}
    recipe = {"image_size": image_size, "dim": dim, "trunk": trunk, "trunk_options": shape}
    return ready(sam, checkpoint, recipe=("timm", recipe))


def check_image_size(image_size: int, multiple: int, of_what: str) -> None:
    """Raises ValueError unless a whole number of cells fills the input frame."""
    if image_size < multiple or image_size % multiple:
        raise ValueError(f"image_size {image_size} is not a multiple of {of_what} {multiple}")


def assemble(
    image_encoder: nn.Module,
    *,
    dim: int,
    depth: int,
    num_heads: int,
    mlp_dim: int,
    dropout: float,
    draws_prompts: bool = False,
) -> Sam:
    """Puts SAM's prompt encoder and decoder of width `dim` on an image encoder."""
    grid = (image_encoder.embedding_size, image_encoder.embedding_size)
    transformer = TwoWayTransformer(
        depth, dim, num_heads=num_heads, mlp_dim=mlp_dim, dropout=dropout
    )
    prompt_encoder = PromptEncoder(
        embed_dim=dim,
        image_embedding_size=grid,
        input_image_size=(image_encoder.img_size, image_encoder.img_size),
        mask_in_chans=16,
        draws_prompts=draws_prompts,
    )
    mask_decoder = MaskDecoder(
        transformer_dim=dim,
        transformer=transformer,
        num_prompt_maps=NUM_MAPS if draws_prompts else 0,
    )
    return Sam(image_encoder, prompt_encoder, mask_decoder)


def assemble_tiny(image_encoder: nn.Module, *, dim: int, dropout: float) -> Sam:
    """Puts a decoder on an image encoder that learns from few images: it draws its prompts."""
    sam = assemble(
        image_encoder,
        dim=dim,
        depth=2,
        num_heads=4,
        mlp_dim=4 * dim,
        dropout=dropout,
        draws_prompts=True,
    )
    sam.start_from_positions()
    return sam


def assemble_efficient(
    image_encoder: nn.Module,
    *,
    dim: int,
    depth: int,
    num_heads: int,
    mlp_dim: int,
    dropout: float,
) -> EfficientSam:
    """Puts EfficientSAM's prompt encoder and decoder of width `dim` on an image encoder."""
    grid = (image_encoder.embedding_size, image_encoder.embedding_size)
    transformer = TwoWayTransformer(
        depth,
        dim,
        num_heads=num_heads,
        mlp_dim=mlp_dim,
        dropout=dropout,
        block_type=EfficientBlock,
    )
    prompt_encoder = PointEncoder(
        dim,
        image_embedding_size=grid,
        input_image_size=(image_encoder.img_size, image_encoder.img_size),
    )
    mask_decoder = EfficientMaskDecoder(transformer_dim=dim, transformer=transformer)
    return EfficientSam(image_encoder, prompt_encoder, mask_decoder)


def ready(
    sam: Model, checkpoint: str | Path | None, *, recipe: tuple[str, dict[str, Any]]
) -> Model:
    """The model with its weights, if there are any, in evaluation as the official builders give it.

    `recipe` is the registry name and the options that build this model again.
    """
    sam.recipe = recipe
    if checkpoint is not None:
        load_checkpoint(sam, checkpoint)
    return sam.eval()


build_sam_vit_b = partial(build_sam_vit, "vit_b")
build_sam_vit_l = partial(build_sam_vit, "vit_l")
build_sam_vit_h = partial(build_sam_vit, "vit_h")

sam_model_registry: dict[str, Callable[..., Sam]] = {
    "default": build_sam_vit_h,
    "vit_h": build_sam_vit_h,
    "vit_l": build_sam_vit_l,
    "vit_b": build_sam_vit_b,
    "mobile_sam": build_mobile_sam,
    "efficient_sam_ti": partial(build_efficient_sam, "efficient_sam_ti"),
    "efficient_sam_s": partial(build_efficient_sam, "efficient_sam_s"),
    "tiny": build_sam_tiny,
    "tiny_plain": build_sam_tiny_plain,
    "timm": build_sam_timm,
}
