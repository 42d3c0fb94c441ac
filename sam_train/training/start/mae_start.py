"""Starts the image encoder from a masked autoencoder, as the paper does (SAM, App. A)."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from jaxtyping import Float
from timm.layers import resample_abs_pos_embed_nhwc, resample_patch_embed
from torch import Tensor

from sam_train.modeling.image_encoder.vit import ImageEncoderViT
from sam_train.modeling.sam import Sam
from sam_train.modeling.weights.loading import read_pickle, read_safetensors

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MaeStart:
    """Loads a plain ViT (He et al. 2022) from a file, or by its name in timm, from the hub.

    Position table and patch kernels are resampled to SAM's input of 1024 pixels and patches of
    16. Relative positions and the neck, which a plain ViT has not, stay as they are.
    """

    source: str

    @torch.no_grad()
    def __call__(self, sam: Sam) -> None:
        """Changes the encoder in place; raises ValueError if it is no ViT, or of another width."""
        encoder = sam.image_encoder
        if not isinstance(encoder, ImageEncoderViT):
            raise ValueError(
                f"a masked autoencoder starts a ViT, not the {type(encoder).__name__} of this "
                f"model: choose model=vit_b, vit_l or vit_h, or another fit"
            )
        weights, own = self._read(), encoder.state_dict()
        loaded = {}
        for name, tensor in weights.items():
            if name == "pos_embed":
                tensor = fit_positions(tensor, own[name])
            elif name == "patch_embed.proj.weight":
                tensor = resample_patch_embed(tensor, list(own[name].shape[-2:]))
            if name in own:
                loaded[name] = tensor
        wrong = [name for name, tensor in loaded.items() if tensor.shape != own[name].shape]
        absent = [name for name in own if name.startswith("blocks.") and name not in loaded]
        absent = [name for name in absent if ".rel_pos_" not in name]
        if wrong or absent:
            raise ValueError(
                f"{self.source} is no masked autoencoder for this encoder ({(wrong + absent)[0]} "
                f"differs or is missing): choose weights of the size that model names"
            )
        encoder.load_state_dict(own | loaded)
        logger.info(f"{len(loaded)} tensors of the image encoder are from {self.source}")

    def _read(self) -> Mapping[str, Tensor]:
        path = Path(self.source)
        if path.suffix == ".safetensors":
            return read_safetensors(path)
        if path.suffix in (".pth", ".pt", ".bin"):
            return read_pickle(path)
        return timm.create_model(self.source, pretrained=True).state_dict()


def fit_positions(
    table: Float[Tensor, "1 tokens C"], own: Float[Tensor, "1 h w _"]
) -> Float[Tensor, "1 h w C"]:
    """A plain ViT's table on the encoder's grid, without its class token if it has one."""
    side = math.isqrt(table.shape[1])
    grid = table[:, -(side**2) :].unflatten(1, (side, side))  # the class token comes first
    return resample_abs_pos_embed_nhwc(grid, list(own.shape[1:3]))
