"""Weights from a file into a built model: official .pth files and safetensors, strictly."""

import re
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from timm.layers import resample_abs_pos_embed_nhwc
from torch import Tensor, nn
from torch.nn import functional as F

from sam_train.modeling.weights.official_names import family_of, from_official, to_official

StateDict = Mapping[str, Tensor]

# Width of the image encoder's position table -> name in sam_model_registry.
VIT_NAMES = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
EFFICIENT_NAMES = {192: "efficient_sam_ti", 384: "efficient_sam_s"}


def load_checkpoint(sam: nn.Module, path: str | Path) -> None:
    """Loads weights into `sam`: ours by the suffix .safetensors, anything else as official."""
    path = Path(path)
    if path.suffix == ".safetensors":
        load_strictly(sam, read_safetensors(path), path)
    else:
        load_official(sam, path)


def load_official(sam: nn.Module, path: str | Path) -> None:
    """Loads a published .pth file of the model's family, or of its fine-tunes.

    The state dict may be the whole file or its entry "model". Code in the file is not run.
    """
    path = Path(path)
    load_strictly(sam, from_official(read_pickle(path), sam), path)


def official_state_dict(sam: nn.Module) -> dict[str, Tensor]:
    """The weights under the names of the family's published files, in their order."""
    return to_official(sam.state_dict(), sam)


def load_strictly(sam: nn.Module, state_dict: StateDict, path: Path) -> None:
    """Loads all weights or none; position tables of another image size are interpolated."""
    own = sam.state_dict()
    fitted = {name: fit_table(name, v, own.get(name)) for name, v in state_dict.items()}
    difference = first_difference(own, fitted)
    if difference is not None:
        raise ValueError(f"{path} holds another model: {difference}; {likely_model(fitted)}.")
    sam.load_state_dict(fitted)


def fit_table(name: str, table: Tensor, own: Tensor | None) -> Tensor:
    """Resizes a position table of the ViT to the model's; anything else stays as it is.

    Bicubic with antialias and linear, as timm does at run time, so that a model built for
    512 equals one built for 1024 that is fed 512 (without antialias it would not).
    """
    if own is None or table.shape == own.shape or table.shape[-1:] != own.shape[-1:]:
        return table
    if name == "image_encoder.pos_embed":
        return resample_abs_pos_embed_nhwc(table, list(own.shape[1:3]))
    if name.endswith((".attn.rel_pos_h", ".attn.rel_pos_w")):
        return F.interpolate(table.T[None], len(own), mode="linear")[0].T
    return table


def first_difference(own: StateDict, state_dict: StateDict) -> str | None:
    """The first name or shape in which two state dicts differ, as a sentence's middle."""
    for name in [*own, *state_dict]:
        if name not in state_dict:
            return f"{name} is missing"
        if name not in own:
            return f"{name} is not part of this model"
        if own[name].shape != state_dict[name].shape:
            there, here = (tuple(tensors[name].shape) for tensors in (state_dict, own))
            return f"{name} has shape {there}, here {here}"
    return None


def likely_model(state_dict: StateDict) -> str:
    """Guesses the registry name from the names and the encoder's width, as a sentence's end."""
    table = state_dict.get("image_encoder.pos_embed")
    width = None if table is None else table.shape[-1]
    name = family_of(state_dict.keys()) or VIT_NAMES.get(width)
    if name == "efficient_sam":
        name = EFFICIENT_NAMES.get(width)
    if name == "Hugging Face":
        return "its names are Hugging Face's: convert its folder with python -m tools.checkpoint"
    if name in ("HQ-SAM", "SAM 2"):
        return f"it looks like {name}, which is no model of sam_model_registry"
    if name is None:
        return "it looks like no model of sam_model_registry"
    return f'it looks like {name}: build sam_model_registry["{name}"]'


def read_pickle(path: Path) -> StateDict:
    require_file(path)
    with path.open("rb") as file:
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged bytes make torch's reader raise a dozen types
            raise ValueError(why_unreadable(path, error)) from error
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and torch.is_tensor(value) for name, value in content.items()
    ):
        raise ValueError(
            f"{path} holds no state dict: it must map names to tensors, or hold such a map "
            'under "model".'
        )
    return content


def read_safetensors(path: Path) -> StateDict:
    require_file(path)
    try:
        return safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise ValueError(why_unreadable(path, error)) from error


def why_unreadable(path: Path, error: Exception) -> str:
    if code := re.search(r"GLOBAL (\S+)", str(error)):
        return (
            f"{path} holds pickled code ({code[1]}), which is never run: "
            "save its state dict alone and load that."
        )
    return (
        f"{path} is not a checkpoint, or only a part of one ({path.stat().st_size} bytes): "
        "download or copy it again."
    )


def require_file(path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name the checkpoint file inside it.")
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}: check the path of the checkpoint.")
