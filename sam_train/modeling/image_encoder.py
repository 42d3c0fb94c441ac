"""SAM's image encoder, a ViT with windows and relative positions."""

from functools import partial

from jaxtyping import Float
from timm.models.vision_transformer_sam import VisionTransformerSAM
from torch import Tensor, nn


class ImageEncoderViT(VisionTransformerSAM):
    """SAM's ViT, which is timm's with LayerNorm eps 1e-6 in the blocks (timm's default is 1e-5)."""

    def __init__(
        self,
        img_size: int,
        embed_dim: int,
        *,
        depth: int,
        num_heads: int,
        global_attn_indexes: tuple[int, ...],
        out_chans: int = 256,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__(
            img_size=img_size,
            embed_dim=embed_dim,
            depth=depth,
            num_heads=num_heads,
            global_attn_indexes=tuple(global_attn_indexes),
            neck_chans=out_chans,
            drop_path_rate=drop_path_rate,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            num_classes=0,
            global_pool="",
        )
        self.img_size = img_size
        self.embedding_size = img_size // 16

    def forward(self, x: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B C h w"]:
        return self.forward_features(x)

    @property
    def num_layers(self) -> int:
        return len(self.blocks)

    @property
    def position_code(self) -> Float[Tensor, "1 C h w"]:
        """Zeros: positions enter before the blocks, nothing is added to the embedding."""
        norm = self.neck[-1].weight
        return norm.new_zeros(1, len(norm), self.embedding_size, self.embedding_size)

    def layer_of(self, name: str) -> int:
        """The layer of a parameter for layer-wise decay: 0 the embedding, then blocks, neck."""
        if name.startswith("blocks."):
            return int(name.split(".")[1]) + 1
        return 0 if name.startswith(("patch_embed", "pos_embed")) else self.num_layers + 1
