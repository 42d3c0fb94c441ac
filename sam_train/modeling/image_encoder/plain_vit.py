"""EfficientSAM's image encoder: a plain ViT, every block of which sees the whole image."""

from functools import partial

import torch
from jaxtyping import Float
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from sam_train.modeling.image_encoder.contract import LayersOfBlocks
from sam_train.modeling.layers import sam_neck

PATCH, TABLE_SIDE = 16, 14  # pixels; cells of the position table, of pre-training at 224 pixels


class ImageEncoderPlain(LayersOfBlocks, nn.Module):
    """ViT-Ti or ViT-S before SAM's neck (EfficientSAM, Xiong et al. 2023), with its names.

    The position table stays that of pre-training. It is enlarged for every image, bicubic without
    antialias; its first row belongs to a class token that does not exist any more.
    """

    def __init__(
        self,
        img_size: int,
        embed_dim: int,
        *,
        depth: int,
        num_heads: int,
        out_chans: int = 256,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.img_size = img_size
        self.embedding_size = img_size // PATCH
        self.pos_embed = nn.Parameter(torch.zeros(1, TABLE_SIDE**2 + 1, embed_dim))
        self.patch_embed = nn.ModuleDict(
            {"proj": nn.Conv2d(3, embed_dim, kernel_size=PATCH, stride=PATCH)}
        )
        drop_path = torch.linspace(0, drop_path_rate, depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(
            Block(
                embed_dim,
                num_heads,
                qkv_bias=True,
                drop_path=rate,
                norm_layer=partial(nn.LayerNorm, eps=1e-6),
            )
            for rate in drop_path
        )
        self.neck = sam_neck(embed_dim, out_chans)

    def forward(self, x: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B C h w"]:
        return self.neck(self.look(x))

    def look(self, x: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B D h w"]:
        """What the last block makes of every patch."""
        size = (x.shape[-2] // PATCH, x.shape[-1] // PATCH)
        tokens = self.embed_patches(x) + self.positions(size)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens.transpose(1, 2).unflatten(2, size)

    def embed_patches(self, x: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B hw C"]:
        """A token for each patch, row by row, that does not know yet where it is."""
        return self.patch_embed["proj"](x).flatten(2).transpose(1, 2)

    def positions(self, size: tuple[int, int]) -> Float[Tensor, "1 hw C"]:
        """The position table on a grid of (h, w) patches."""
        table = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (TABLE_SIDE, TABLE_SIDE))
        table = F.interpolate(table, size, mode="bicubic", align_corners=False)
        return table.flatten(2).transpose(1, 2)
