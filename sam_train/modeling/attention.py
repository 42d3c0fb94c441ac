"""Attention inside the prompt's tokens, and between them and the tokens of the image.

The image is 4096 tokens and a prompt 7 to 16, so most products of SAM's decoder are projections of
image tokens. Of three factors, tokens, projection and image, the order is free: the projection
goes to the tokens where that is less work, and only once to an image that all prompts share. That
halves the products of a click among 64: 830 million and 63 more for each of its points, upscaling
included.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head attention whose inner width is `embedding_dim / downsample_rate`.

    Written out, because one side is always a handful of tokens: the scores are small, and
    on CPU plain products in bf16 take 0.6 of the time of scaled_dot_product_attention.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        *,
        downsample_rate: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.internal_dim = embedding_dim // downsample_rate
        self.num_heads = num_heads
        self.dropout = dropout
        if self.internal_dim % num_heads:
            raise ValueError(f"num_heads {num_heads} must divide the width {self.internal_dim}")
        self.q_proj = nn.Linear(embedding_dim, self.internal_dim)
        self.k_proj = nn.Linear(embedding_dim, self.internal_dim)
        self.v_proj = nn.Linear(embedding_dim, self.internal_dim)
        self.out_proj = nn.Linear(self.internal_dim, embedding_dim)

    def forward(
        self,
        q: Float[Tensor, "N Q C"],
        k: Float[Tensor, "N K C"],
        v: Float[Tensor, "N K C"],
    ) -> Float[Tensor, "N Q C"]:
        q, k, v = (
            self.project(proj, x)
            for proj, x in ((self.q_proj, q), (self.k_proj, k), (self.v_proj, v))
        )
        weights = self.weigh(self.scale(q) @ k.transpose(2, 3), dim=-1)
        return self.out_proj((weights @ v).transpose(1, 2).flatten(-2))

    def project(self, layer: nn.Linear, x: Float[Tensor, "N L C"]) -> Float[Tensor, "N heads L c"]:
        return layer(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def scale(self, x: Float[Tensor, "N heads L c"]) -> Float[Tensor, "N heads L c"]:
        return x * x.shape[-1] ** -0.5

    def weigh(self, scores: Tensor, *, dim: int) -> Tensor:
        if torch.compiler.is_exporting():  # ONNX Runtime's softmax of other axes than the last
            scores = (scores - scores.amax(dim, keepdim=True)).exp()  # takes four times as long
            return scores / scores.sum(dim, keepdim=True)
        return F.dropout(scores.softmax(dim), self.dropout, self.training)


class TokenToImageAttention(Attention):
    """Tokens read the image; the image may be one for all prompts (`#N` is 1)."""

    def forward(
        self,
        q: Float[Tensor, "N T C"],
        k: Float[Tensor, "#N HW C"],
        v: Float[Tensor, "#N HW C"],
    ) -> Float[Tensor, "N T C"]:
        scores = compare(self.scale(self.project(self.q_proj, q)), self.k_proj, k)
        read = collect(self.weigh(scores, dim=-1), v, self.v_proj)
        return self.out_proj(read.transpose(1, 2).flatten(-2))


class ImageToTokenAttention(Attention):
    """The image reads the tokens; the image may be one for all prompts (`#N` is 1)."""

    def forward(
        self,
        q: Float[Tensor, "#N HW C"],
        k: Float[Tensor, "N T C"],
        v: Float[Tensor, "N T C"],
    ) -> Float[Tensor, "N HW C"]:
        scores = compare(self.scale(self.project(self.k_proj, k)), self.q_proj, q)
        values = self.project(self.v_proj, v)  # (N, heads, T, c)
        weight = self.out_proj.weight.unflatten(1, (self.num_heads, -1))  # (C, heads, c)
        values = torch.einsum("nhtc,dhc->nhtd", values, weight).flatten(1, 2)
        weights = self.weigh(scores, dim=2).flatten(1, 2)  # (N, heads * T, HW)
        return weights.mT @ values + self.out_proj.bias


def compare(
    tokens: Float[Tensor, "N heads T c"], layer: nn.Linear, image: Float[Tensor, "#N HW C"]
) -> Float[Tensor, "N heads T HW"]:
    """The products of tokens with the image as projected by `layer`, head by head."""
    weight, bias = split_heads(layer, tokens.shape[1])
    if tokens_are_fewer(tokens, layer, image):
        folded = torch.einsum("nhtc,hcd->nhtd", tokens, weight).flatten(1, 2)
        offsets = torch.einsum("nhtc,hc->nht", tokens, bias).flatten(1)[..., None]
        return (folded @ image.mT + offsets).unflatten(1, tokens.shape[1:3])
    projected = layer(image).unflatten(-1, bias.shape)  # (#N, HW, heads, c)
    if len(image) == 1:
        return torch.einsum("nhtc,phc->nhtp", tokens, projected[0])
    return torch.einsum("nhtc,nphc->nhtp", tokens, projected)


def collect(
    weights: Float[Tensor, "N heads T HW"], image: Float[Tensor, "#N HW C"], layer: nn.Linear
) -> Float[Tensor, "N heads T c"]:
    """Weighted sums of the image as projected by `layer`, head by head."""
    weight, bias = split_heads(layer, weights.shape[1])
    if tokens_are_fewer(weights, layer, image):
        sums = (weights.flatten(1, 2) @ image).unflatten(1, weights.shape[1:3])
        bias = weights.sum(-1, keepdim=True) * bias[:, None]
        return torch.einsum("nhtd,hcd->nhtc", sums, weight) + bias
    projected = layer(image).unflatten(-1, bias.shape)  # (#N, HW, heads, c)
    if len(image) == 1:
        return torch.einsum("nhtp,phc->nhtc", weights, projected[0])
    return torch.einsum("nhtp,nphc->nhtc", weights, projected)


def tokens_are_fewer(
    tokens: Float[Tensor, "N heads T X"], layer: nn.Linear, image: Float[Tensor, "#N HW C"]
) -> bool:
    if torch.compiler.is_exporting():  # a graph has one order, that of a few clicks
        return True
    return tokens.shape[:3].numel() <= len(image) * layer.out_features


def split_heads(
    layer: nn.Linear, heads: int
) -> tuple[Float[Tensor, "heads c C"], Float[Tensor, "heads c"]]:
    return layer.weight.unflatten(0, (heads, -1)), layer.bias.unflatten(0, (heads, -1))
