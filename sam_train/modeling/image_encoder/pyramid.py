"""A convolutional image encoder for training on a small budget."""

from typing import Any

import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sam_train.modeling.image_encoder.contract import OneLayer
from sam_train.modeling.layers import LayerNorm2d, level_neck
from sam_train.modeling.maps.cells import fold, fold_twice

STRIDE = 16
DETAIL_DIM = 64
AFFINITY_DIM = 32


class ImageEncoderPyramid(OneLayer, nn.Module):
    """A timm feature pyramid, gathered at stride 16, with its details at strides 8 and 4.

    Finer levels are read in whole patches, so that a coarse embedding keeps much of them;
    coarser ones are enlarged. Convolutions do not know where they are, so a
    position embedding is added at the end: masks are drawn around a click or in a box.
    """

    def __init__(self, img_size: int, trunk: str, *, out_chans: int, **trunk_options: Any) -> None:
        super().__init__()
        self.img_size = img_size
        self.embedding_size = img_size // STRIDE
        self.affinity_dim = AFFINITY_DIM
        self.trunk = timm.create_model(trunk, features_only=True, **trunk_options)
        self.reductions = self.trunk.feature_info.reduction()
        channels = dict(zip(self.reductions, self.trunk.feature_info.channels(), strict=True))
        self.laterals = nn.ModuleList(
            patch_conv(count, out_chans, max(STRIDE // reduction, 1))
            for reduction, count in channels.items()
        )
        self.neck = level_neck(out_chans)
        self.pos_embed = nn.Parameter(
            torch.zeros(1, out_chans, self.embedding_size, self.embedding_size)
        )
        self.detail = DetailPyramid(channels, out_chans)
        self.to(memory_format=torch.channels_last)  # 1.3x on CPU in bf16

    def forward(self, x: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B embedding h w"]:
        """The embedding in the first C channels, `DetailPyramid` in the others."""
        size = (x.shape[-2] // STRIDE, x.shape[-1] // STRIDE)
        levels = dict(zip(self.reductions, self.trunk(x), strict=True))
        gathered = 0
        for lateral, (reduction, level) in zip(self.laterals, levels.items(), strict=True):
            level = lateral(level)
            if reduction > STRIDE:
                level = F.interpolate(level, size, mode="bilinear", align_corners=False)
            gathered = gathered + level
        content = self.neck(gathered)
        return torch.cat([content + self.pos_embed, self.detail(levels, content)], dim=1)


class DetailPyramid(nn.Module):
    """What the mask decoder adds to its upscaled embedding, and what clicks are compared by.

    Details at strides 8 and 4 are SAM 2's high-resolution features (`conv_s1`, `conv_s0` in its
    mask decoder), from the top of a pyramid down. Both start at zero, so that a decoder can
    learn its geometry before. The affinity features at stride 4 are unit vectors, alike where
    pixels share their masks (`affinity_loss`).
    """

    def __init__(self, channels: dict[int, int], dim: int) -> None:
        super().__init__()
        self.from_embedding = nn.Conv2d(dim, DETAIL_DIM, kernel_size=1)
        self.from_8 = nn.Conv2d(channels[8], DETAIL_DIM, kernel_size=1)
        self.from_4 = nn.Conv2d(channels[4], DETAIL_DIM, kernel_size=1)
        self.from_2 = patch_conv(channels[2], DETAIL_DIM, 2)
        self.norm_8, self.norm_4 = LayerNorm2d(DETAIL_DIM), LayerNorm2d(DETAIL_DIM)
        self.mix_4 = nn.Conv2d(DETAIL_DIM, DETAIL_DIM, kernel_size=3, padding=1)
        self.conv_s1 = nn.Conv2d(DETAIL_DIM, dim // 4, kernel_size=1)
        self.conv_s0 = nn.Conv2d(DETAIL_DIM, dim // 8, kernel_size=1)
        self.conv_affinity = nn.Conv2d(DETAIL_DIM, AFFINITY_DIM, kernel_size=1)
        for conv in (self.conv_s1, self.conv_s0):
            nn.init.zeros_(conv.weight)
            nn.init.zeros_(conv.bias)

    def forward(
        self, levels: dict[int, Tensor], embedding: Float[Tensor, "B C h w"]
    ) -> Float[Tensor, "B details h w"]:
        """All folded to the embedding's grid: C channels of stride 8, 2 C of 4, then affinity."""
        at_8 = self.from_8(levels[8]) + enlarge(self.from_embedding(embedding))
        at_4 = self.from_4(levels[4]) + self.from_2(levels[2])
        at_4 = self.mix_4(F.gelu(self.norm_4(at_4 + enlarge(at_8))))
        at_8, at_4 = F.gelu(self.norm_8(at_8)), F.gelu(at_4)
        affinity = F.normalize(self.conv_affinity(at_4).float(), dim=1)
        s1, s0 = self.conv_s1(at_8), self.conv_s0(at_4)
        return torch.cat([fold(s1), fold_twice(s0), fold_twice(affinity)], dim=1)


def patch_conv(in_channels: int, out_channels: int, side: int) -> nn.Conv2d:
    """One linear map of each patch of `side` pixels."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=side, stride=side)


def enlarge(x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C 2*h 2*w"]:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
