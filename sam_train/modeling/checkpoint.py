"""Checkpoints for exchange: safetensors with a json that says how to build, and official files."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from sam_train.data.store.durable import durable_file, file_sha256
from sam_train.modeling.build import sam_model_registry
from sam_train.modeling.efficient_sam import EfficientSam
from sam_train.modeling.sam import Sam
from sam_train.modeling.weights.loading import (
    load_checkpoint,
    load_official,
    official_state_dict,
    require_file,
)

__all__ = [
    "file_sha256",
    "load_checkpoint",
    "load_model",
    "load_official",
    "official_state_dict",
    "save_model",
    "save_official",
    "weights_sha256",
]


def save_official(sam: Sam, path: str | Path) -> None:
    """Writes a .pth file that the package of the model's family loads."""
    state_dict = official_state_dict(sam)
    content = {"model": state_dict} if isinstance(sam, EfficientSam) else state_dict
    with durable_file(Path(path)) as file:
        torch.save(content, file)


def save_model(
    sam: Sam,
    path: str | Path,
    *,
    model: str,
    config: dict[str, Any],
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Writes NAME.safetensors and, beside it, the NAME.json from which `load_model` builds.

    `model` is a name of `sam_model_registry`, `config` the keyword arguments of its builder.
    `origin` says from which run the weights are; nothing is built from it.
    The weights come last: where they are, the json is.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"save_model writes .safetensors files, not {path}: rename it.")
    if model not in sam_model_registry:
        raise ValueError(f"There is no model {model!r}: name one of {sorted(sam_model_registry)}.")
    tensors = {name: tensor.cpu().contiguous() for name, tensor in sam.state_dict().items()}
    content = safetensors.torch.save(tensors)
    card = {
        "model": model,
        "image_size": sam.image_size,
        "config": {key: value for key, value in config.items() if key != "image_size"},
        "sha256": hashlib.sha256(content).hexdigest(),
        **({"origin": dict(origin)} if origin else {}),
    }
    with durable_file(path.with_suffix(".json")) as file:
        file.write(json.dumps(card, indent=2).encode() + b"\n")
    with durable_file(path) as file:
        file.write(content)


def weights_sha256(sam: Sam) -> str:
    """A hash of the weights and their names, whatever kind of file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sam.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(
            tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()


def load_model(path: str | Path) -> Sam:
    """Builds the model that NAME.json describes and loads NAME.safetensors into it.

    Raises ValueError if one of the two does not belong to the other.
    """
    path = Path(path)
    card_path = path.with_suffix(".json")
    require_file(path)
    require_file(card_path)
    build, config, sha256 = read_card(card_path)
    if file_sha256(path) != sha256:
        raise ValueError(
            f"{path} is not the file that {card_path} describes (sha256 {sha256[:12]}...): "
            "one of the two was replaced or damaged, copy both again."
        )
    try:
        return build(path, **config)
    except TypeError as error:  # keys that the builder has not, or values of another type
        raise ValueError(
            f"{card_path} does not describe such a model ({error}): take the json that was "
            "written beside the weights."
        ) from error


def read_card(path: Path) -> tuple[Callable[..., Sam], dict[str, Any], str]:
    """The builder, its arguments and the sha256 of the weights that a json names."""
    try:
        card = json.loads(path.read_text())
        config = {**card["config"], "image_size": card["image_size"]}
        return sam_model_registry[card["model"]], config, card["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} does not describe a model ({error!r}): it must hold model (one of "
            f"{sorted(sam_model_registry)}), image_size, config and sha256."
        ) from error
