"""How the weights of each family are called in its published files, and here."""

import re
from collections.abc import Collection, Mapping

from torch import Tensor, nn

from sam_train.modeling.efficient_sam import EfficientSam
from sam_train.modeling.image_encoder.tiny_vit import ImageEncoderTinyViT

# Pairs of patterns, official and ours, where `N` stands for a number; applied in this order.
Renaming = tuple[tuple[str, str], ...]

# The MLP layers of an encoder block are lin1 and lin2 in SAM, fc1 and fc2 in timm.
SAM: Renaming = (("image_encoder.blocks.N.mlp.lin", "image_encoder.blocks.N.mlp.fc"),)

# What makes a grid coarser ends a layer of MobileSAM and begins a stage of timm.
MOBILE_SAM: Renaming = (
    ("image_encoder.patch_embed.seq.0.", "image_encoder.patch_embed.conv1."),
    ("image_encoder.patch_embed.seq.2.", "image_encoder.patch_embed.conv2."),
    ("image_encoder.layers.0.downsample.", "image_encoder.stages.1.downsample."),
    ("image_encoder.layers.1.downsample.", "image_encoder.stages.2.downsample."),
    ("image_encoder.layers.2.downsample.", "image_encoder.stages.3.downsample."),
    ("image_encoder.layers.N.blocks.", "image_encoder.stages.N.blocks."),
    (".c.weight", ".conv.weight"),
)

EFFICIENT_SAM: Renaming = (
    ("transformer.layers.N.mlp.layers.0.0.", "transformer.layers.N.mlp.lin1."),
    ("transformer.layers.N.mlp.fc.", "transformer.layers.N.mlp.lin2."),
    ("mask_decoder.final_output_upscaling_layers.0.0.", "mask_decoder.output_upscaling.0."),
    ("mask_decoder.final_output_upscaling_layers.0.1.", "mask_decoder.output_upscaling.1."),
    ("mask_decoder.final_output_upscaling_layers.1.0.", "mask_decoder.output_upscaling.3."),
    ("output_hypernetworks_mlps.N.layers.0.0.", "output_hypernetworks_mlps.N.layers.0."),
    ("output_hypernetworks_mlps.N.layers.1.0.", "output_hypernetworks_mlps.N.layers.1."),
    ("output_hypernetworks_mlps.N.fc.", "output_hypernetworks_mlps.N.layers.2."),
    ("iou_prediction_head.layers.0.0.", "iou_prediction_head.layers.0."),
    ("iou_prediction_head.layers.1.0.", "iou_prediction_head.layers.1."),
    ("iou_prediction_head.fc.", "iou_prediction_head.layers.2."),
)

# A name that only the files of one family have, and the family: a name in sam_model_registry, or
# what it is called where it is not one.
SIGNS = (
    ("prompt_encoder.invalid_points.weight", "efficient_sam"),
    ("image_encoder.layers.0.blocks.0.conv1.c.weight", "mobile_sam"),
    ("image_encoder.stages.0.blocks.0.conv1.conv.weight", "mobile_sam"),
    ("image_encoder.detail.conv_s0.weight", "tiny"),
    ("image_encoder.laterals.0.weight", "timm"),
    ("mask_decoder.hf_token.weight", "HQ-SAM"),
    ("sam_mask_decoder.iou_token.weight", "SAM 2"),
    ("vision_encoder.patch_embed.projection.weight", "Hugging Face"),
)


def renaming_of(sam: nn.Module) -> Renaming:
    """The names in files of the model's family."""
    if isinstance(sam, EfficientSam):
        return EFFICIENT_SAM
    return MOBILE_SAM if isinstance(sam.image_encoder, ImageEncoderTinyViT) else SAM


def from_official(state_dict: Mapping[str, Tensor], sam: nn.Module) -> dict[str, Tensor]:
    """The weights of an official file under our names."""
    return renamed(state_dict, renaming_of(sam))


def to_official(state_dict: Mapping[str, Tensor], sam: nn.Module) -> dict[str, Tensor]:
    """The weights of a model under the names of the official files, in their order."""
    return renamed(state_dict, inverse(renaming_of(sam)))


def inverse(renaming: Renaming) -> Renaming:
    """The way back; what was renamed last is renamed first."""
    return tuple((new, old) for old, new in reversed(renaming))


def renamed(state_dict: Mapping[str, Tensor], renaming: Renaming) -> dict[str, Tensor]:
    """The same weights, in the same order; pair by pair, the first pattern becomes the second."""
    patterns = [
        (re.compile(re.escape(old).replace("N", r"(\d+)")), new.replace("N", r"\1"))
        for old, new in renaming
    ]

    def rename(name: str) -> str:
        for pattern, new in patterns:
            name = pattern.sub(new, name)
        return name

    return {rename(name): tensor for name, tensor in state_dict.items()}


def family_of(names: Collection[str]) -> str | None:
    """Which family the names in a file belong to, if it can be told."""
    return next((family for name, family in SIGNS if name in names), None)
