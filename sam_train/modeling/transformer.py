"""The two-way transformer of the mask decoder: prompts read the image, the image the prompts."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sam_train.modeling.attention import Attention, ImageToTokenAttention, TokenToImageAttention
from sam_train.modeling.layers import MLPBlock

DOWNSAMPLE_RATE = 2  # of the width of attention between tokens and image (SAM, App. A)
START_PROJECTION, START_NORM = 2.5, 0.3  # gains of the distance kernel


class TwoWayAttentionBlock(nn.Module):
    """Token self-attention, tokens to image, MLP on tokens, image to tokens; each then normed.

    In the first block the self-attention replaces the tokens and sees no positional code.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        *,
        mlp_dim: int,
        dropout: float = 0.0,
        skip_first_layer_pe: bool,
    ) -> None:
        super().__init__()
        self.self_attn = Attention(embedding_dim, num_heads, dropout=dropout)
        self.norm1 = nn.LayerNorm(embedding_dim)
        self.cross_attn_token_to_image = TokenToImageAttention(
            embedding_dim, num_heads, downsample_rate=DOWNSAMPLE_RATE, dropout=dropout
        )
        self.norm2 = nn.LayerNorm(embedding_dim)
        self.mlp = MLPBlock(embedding_dim, mlp_dim, nn.ReLU, dropout=dropout)
        self.norm3 = nn.LayerNorm(embedding_dim)
        self.norm4 = nn.LayerNorm(embedding_dim)
        self.cross_attn_image_to_token = ImageToTokenAttention(
            embedding_dim, num_heads, downsample_rate=DOWNSAMPLE_RATE, dropout=dropout
        )
        self.skip_first_layer_pe = skip_first_layer_pe

    def forward(
        self,
        queries: Float[Tensor, "N T C"],
        keys: Float[Tensor, "#N HW C"],
        *,
        query_pe: Float[Tensor, "N T C"],
        key_pe: Float[Tensor, "1 HW C"],
    ) -> tuple[Float[Tensor, "N T C"], Float[Tensor, "N HW C"]]:
        queries = self.norm1(self.attend_to_tokens(queries, query_pe))

        q, k = queries + query_pe, keys + key_pe
        queries = self.norm2(queries + self.cross_attn_token_to_image(q=q, k=k, v=keys))
        queries = self.norm3(queries + self.mlp(queries))

        q = queries + query_pe
        keys = self.norm4(keys + self.cross_attn_image_to_token(q=k, k=q, v=queries))
        return queries, keys

    def attend_to_tokens(
        self, queries: Float[Tensor, "N T C"], query_pe: Float[Tensor, "N T C"]
    ) -> Float[Tensor, "N T C"]:
        if self.skip_first_layer_pe:
            return self.self_attn(q=queries, k=queries, v=queries)
        q = queries + query_pe
        return queries + self.self_attn(q=q, k=q, v=queries)


class TwoWayTransformer(nn.Module):
    """Updates prompt tokens and image embedding together (SAM, App. A)."""

    def __init__(
        self,
        depth: int,
        embedding_dim: int,
        *,
        num_heads: int,
        mlp_dim: int,
        dropout: float = 0.0,
        block_type: type[TwoWayAttentionBlock] = TwoWayAttentionBlock,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            block_type(
                embedding_dim,
                num_heads,
                mlp_dim=mlp_dim,
                dropout=dropout,
                skip_first_layer_pe=block == 0,
            )
            for block in range(depth)
        )
        self.final_attn_token_to_image = TokenToImageAttention(
            embedding_dim, num_heads, downsample_rate=DOWNSAMPLE_RATE, dropout=dropout
        )
        self.norm_final_attn = nn.LayerNorm(embedding_dim)

    def forward(
        self,
        image_embedding: Float[Tensor, "#N C h w"],
        image_pe: Float[Tensor, "1 C h w"],
        point_embedding: Float[Tensor, "N T C"],
    ) -> tuple[Float[Tensor, "N T C"], Float[Tensor, "N HW C"]]:
        """Returns the tokens and the image embedding after all blocks."""
        # Contiguous, or every sum with what attention gives would mix two orders of memory.
        keys, key_pe = (
            image.flatten(2).transpose(1, 2).contiguous() for image in (image_embedding, image_pe)
        )  # (N or 1, HW, C)
        queries = point_embedding
        for block in self.layers:
            queries, keys = block(queries, keys, query_pe=point_embedding, key_pe=key_pe)
        q, k = queries + point_embedding, keys + key_pe
        queries = queries + self.final_attn_token_to_image(q=q, k=k, v=keys)
        return self.norm_final_attn(queries), keys

    @torch.no_grad()
    def start_as_distance_kernel(self) -> None:
        """Makes every image/token attention start as a kernel of the distance to the prompts.

        k_proj starts equal to q_proj, so that q.k falls with the distance between the positional
        codes of a prompt and of a grid cell, and small norms keep the contents, which are
        noise yet, below the codes. Otherwise a decoder that starts from random weights predicts
        empty masks for its first hundreds of steps. Published weights overwrite this start.
        """
        attentions = [self.final_attn_token_to_image]
        for block in self.layers:
            attentions += [block.cross_attn_token_to_image, block.cross_attn_image_to_token]
            for norm in (block.norm1, block.norm2, block.norm3, block.norm4):
                norm.weight.fill_(START_NORM)
        for attention in attentions:
            attention.q_proj.weight.mul_(START_PROJECTION)
            attention.k_proj.weight.copy_(attention.q_proj.weight)
            attention.k_proj.bias.copy_(attention.q_proj.bias)
