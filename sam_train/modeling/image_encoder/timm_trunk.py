"""Any feature extractor of timm as image encoder: its stride, its neck and its positions."""

from typing import Any

import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sam_train.modeling.image_encoder.contract import OneLayer
from sam_train.modeling.layers import level_neck

STRIDE = 16
# Options that load weights into a trunk: they belong to the start of a training, not to the model.
WEIGHT_OPTIONS = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path"}


class ImageEncoderTimm(OneLayer, nn.Module):
    """The levels of a timm model from stride 16 on, gathered at stride 16, before SAM's neck.

    A plain ViT has one such level, of patches that may have any size; a convolutional network
    has two, the coarser of which is enlarged; where all levels are finer, the last is reduced.
    Convolutions do not know where they are, so a position embedding is added at the end.
    """

    def __init__(
        self, img_size: int, trunk: str, *, out_chans: int = 256, **trunk_options: Any
    ) -> None:
        super().__init__()
        self.img_size = img_size
        self.embedding_size = img_size // STRIDE
        self.trunk = build_trunk(trunk, img_size, **trunk_options)
        self.laterals = nn.ModuleList(
            nn.Conv2d(channels, out_chans, kernel_size=1, bias=False)
            for channels in self.trunk.feature_info.channels()
        )
        self.neck = level_neck(out_chans)
        side = self.embedding_size
        self.pos_embed = nn.Parameter(torch.zeros(1, out_chans, side, side))

    def forward(self, x: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B C h w"]:
        size = (self.embedding_size, self.embedding_size)
        gathered = 0
        for lateral, level in zip(self.laterals, self.trunk(x), strict=True):
            level = lateral(level)
            if level.shape[-2:] != size:
                level = F.interpolate(level, size, mode="bilinear", align_corners=False)
            gathered = gathered + level
        return self.neck(gathered) + self.pos_embed


def build_trunk(name: str, img_size: int, **options: Any) -> nn.Module:
    """The feature extractor that gives the deepest level of each stride from 16 on.

    A model whose tables belong to one image size is built for `img_size`. Raises ValueError
    if timm has no such model, or if the model cannot take such images.
    """
    if not timm.is_model(name):
        raise ValueError(f"timm has no model {name!r}: timm.list_models() lists those it has.")
    if getattr(timm.get_pretrained_cfg(name), "fixed_input_size", False):
        options = {"img_size": img_size} | options
    shape = {key: value for key, value in options.items() if key not in WEIGHT_OPTIONS}
    try:
        with torch.device("meta"):  # costs nothing, and says what would be refused
            levels = timm.create_model(name, num_classes=0, **shape).feature_info
            chosen = {
                "features_only": True,
                "feature_cls": "getter",  # gives (B, C, h, w) whatever the model keeps inside
                "out_indices": chosen_levels([level["reduction"] for level in levels]),
            }
            timm.create_model(name, **chosen, **shape).eval()(torch.zeros(1, 3, img_size, img_size))
    except (AssertionError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"timm's {name} cannot encode images of {img_size} pixels with the options "
            f"{options} ({reason}): choose another image_size, trunk or trunk_options."
        ) from error
    return timm.create_model(name, **chosen, **options)


def chosen_levels(reductions: list[int]) -> list[int]:
    """The last level of each reduction from 16 on; the deepest of all, if none is so coarse."""
    last = {reduction: index for index, reduction in enumerate(reductions)}
    coarse = [index for reduction, index in last.items() if reduction >= STRIDE]
    return sorted(coarse or [len(reductions) - 1])
