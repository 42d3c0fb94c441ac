"""SAM as Hugging Face's transformers keep it: other names, and a folder with a config.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from sam_train.data.store.durable import durable_file
from sam_train.modeling.build import VIT_SIZES, build_sam_vit
from sam_train.modeling.sam import Sam
from sam_train.modeling.weights.loading import (
    load_strictly,
    official_state_dict,
    read_pickle,
    read_safetensors,
)
from sam_train.modeling.weights.official_names import (
    Renaming,
    from_official,
    inverse,
    renamed,
)

# Official, Hugging Face's: transformers, models/sam/convert_sam_to_hf.py.
HUGGING_FACE: Renaming = (
    ("image_encoder.blocks.N.norm", "vision_encoder.layers.N.layer_norm"),
    ("image_encoder.blocks.N.attn.", "vision_encoder.layers.N.attn."),
    ("image_encoder.blocks.N.mlp.", "vision_encoder.layers.N.mlp."),
    ("image_encoder.patch_embed.proj.", "vision_encoder.patch_embed.projection."),
    ("image_encoder.neck.0.", "vision_encoder.neck.conv1."),
    ("image_encoder.neck.1.", "vision_encoder.neck.layer_norm1."),
    ("image_encoder.neck.2.", "vision_encoder.neck.conv2."),
    ("image_encoder.neck.3.", "vision_encoder.neck.layer_norm2."),
    ("image_encoder.pos_embed", "vision_encoder.pos_embed"),
    ("prompt_encoder.mask_downscaling.0.", "prompt_encoder.mask_embed.conv1."),
    ("prompt_encoder.mask_downscaling.1.", "prompt_encoder.mask_embed.layer_norm1."),
    ("prompt_encoder.mask_downscaling.3.", "prompt_encoder.mask_embed.conv2."),
    ("prompt_encoder.mask_downscaling.4.", "prompt_encoder.mask_embed.layer_norm2."),
    ("prompt_encoder.mask_downscaling.6.", "prompt_encoder.mask_embed.conv3."),
    ("prompt_encoder.point_embeddings.N.", "prompt_encoder.point_embed.N."),
    (
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        "prompt_encoder.shared_embedding.positional_embedding",
    ),
    ("mask_decoder.transformer.layers.N.norm", "mask_decoder.transformer.layers.N.layer_norm"),
    ("transformer.norm_final_attn.", "transformer.layer_norm_final_attn."),
    ("output_hypernetworks_mlps.N.layers.0.", "output_hypernetworks_mlps.N.proj_in."),
    ("output_hypernetworks_mlps.N.layers.1.", "output_hypernetworks_mlps.N.layers.0."),
    ("output_hypernetworks_mlps.N.layers.2.", "output_hypernetworks_mlps.N.proj_out."),
    ("iou_prediction_head.layers.0.", "iou_prediction_head.proj_in."),
    ("iou_prediction_head.layers.1.", "iou_prediction_head.layers.0."),
    ("iou_prediction_head.layers.2.", "iou_prediction_head.proj_out."),
    ("mask_decoder.output_upscaling.0.", "mask_decoder.upscale_conv1."),
    ("mask_decoder.output_upscaling.1.", "mask_decoder.upscale_layer_norm."),
    ("mask_decoder.output_upscaling.3.", "mask_decoder.upscale_conv2."),
)
# One matrix under two names, of which a file may hold either.
POSITIONS = "prompt_encoder.shared_embedding.positional_embedding"
SAME_POSITIONS = "shared_image_embedding.positional_embedding"


def to_hugging_face(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under SAM's official names as a `SamModel` loads them."""
    weights = renamed(official, HUGGING_FACE)
    return weights | {SAME_POSITIONS: weights[POSITIONS].clone()}


def from_hugging_face(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a `SamModel` under SAM's official names."""
    weights = dict(weights)
    shared = weights.pop(SAME_POSITIONS, None)
    if shared is not None:
        weights.setdefault(POSITIONS, shared)
    return renamed(weights, inverse(HUGGING_FACE))


def write_folder(sam: Sam, folder: Path) -> None:
    """Writes config.json and, last, model.safetensors; `SamModel.from_pretrained` reads them."""
    name, options = sam.recipe
    if name not in VIT_SIZES:
        raise ValueError(
            f"transformers has no SamModel like {name}: only {', '.join(VIT_SIZES)} can be "
            "written for it."
        )
    width, depth, heads, global_blocks = VIT_SIZES[name]
    config = {
        "architectures": ["SamModel"],
        "model_type": "sam",
        "vision_config": {
            "hidden_size": width,
            "num_hidden_layers": depth,
            "num_attention_heads": heads,
            "global_attn_indexes": list(global_blocks),
            "image_size": sam.image_size,
        },
        "prompt_encoder_config": {"image_size": sam.image_size},
        # SAM's decoder has 1e-5 in its blocks; the default of transformers, 1e-6, is 5e-5 off.
        "mask_decoder_config": {
            "num_hidden_layers": options["decoder_depth"],
            "layer_norm_eps": 1e-5,
        },
    }
    weights = {k: t.contiguous() for k, t in to_hugging_face(official_state_dict(sam)).items()}
    with durable_file(folder / "config.json") as file:
        file.write(json.dumps(config, indent=2).encode() + b"\n")
    with durable_file(folder / "model.safetensors") as file:
        file.write(safetensors.torch.save(weights, metadata={"format": "pt"}))


def read_folder(folder: Path) -> Sam:
    """The model that a folder of `SamModel.save_pretrained`, or of the hub, holds."""
    name, options = read_config(folder / "config.json")
    sam = build_sam_vit(name, **options)
    official = from_hugging_face(read_weights(folder))
    load_strictly(sam, from_official(official, sam), folder)
    return sam


def read_config(path: Path) -> tuple[str, dict[str, Any]]:
    """The registry name and the options of the model that a config.json describes."""
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}: a folder of transformers holds config.json beside its weights; "
            "copy both."
        )
    try:
        config = json.loads(path.read_text())
        kind = config["model_type"]
        vision, decoder = config.get("vision_config", {}), config.get("mask_decoder_config", {})
        width, depth = vision.get("hidden_size", 768), vision.get("num_hidden_layers", 12)
        size, layers = vision.get("image_size", 1024), decoder.get("num_hidden_layers", 2)
        options: dict[str, Any] = {"image_size": int(size), "decoder_depth": int(layers)}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no config.json of transformers ({error!r}): copy the folder again."
        ) from error
    if kind != "sam":
        raise ValueError(f"{path} describes a model of type {kind!r}, not 'sam' (SamModel).")
    found = [name for name, size in VIT_SIZES.items() if size[:2] == (width, depth)]
    if not found:
        raise ValueError(
            f"{path} describes a ViT {width} wide with {depth} blocks, which is none of "
            f"{', '.join(VIT_SIZES)}."
        )
    return found[0], options


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of model.safetensors, of its parts, or of pytorch_model.bin."""
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():
        return dict(read_safetensors(folder / "model.safetensors"))
    if index.is_file():
        try:
            parts = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{index} does not say which parts there are ({error!r}): copy the folder again."
            ) from error
        return {k: t for part in parts for k, t in read_safetensors(folder / part).items()}
    if (folder / "pytorch_model.bin").is_file():
        return dict(read_pickle(folder / "pytorch_model.bin"))
    raise FileNotFoundError(
        f"There are no weights in {folder}: it must hold model.safetensors, "
        "model.safetensors.index.json with its parts, or pytorch_model.bin."
    )
