"""SAM's image encoder, a ViT with windows and relative positions."""

from functools import partial

import torch
from jaxtyping import Float
from timm.models.vision_transformer_sam import Attention, VisionTransformerSAM, get_rel_pos
from torch import Tensor, nn
from torch.nn import functional as F

from sam_train.modeling.image_encoder.contract import LayersOfBlocks

# Position terms that are computed at once on a CPU without gradients: a row of queries of a
# global block of ViT-B. All at once they are 12 x 4096 x 4096 numbers, 800 MB, written and read
# (with the scores: the encoder peaks at 0.4 instead of 2.6 GB).
CPU_TERMS = 2**22
# The same in a graph, which lists what is done for every few rows: 130 MB, and 7 steps instead of
# 64 in a global block of ViT-B.
EXPORTED_TERMS = 2**25
# On a GPU terms are channels in grids with more than so many times as many cells as rows and
# columns together: a global block of ViT-H takes 3.6 instead of 8.9 ms for eight images, but one of
# windows 1.6 instead of 0.7. Not in training: a step took 0.84 instead of 0.68 s (H100, bf16).
CELLS_PER_SIDE = 8


class ImageEncoderViT(LayersOfBlocks, VisionTransformerSAM):
    """SAM's ViT, which is timm's with LayerNorm eps 1e-6 in the blocks (timm's default is 1e-5).

    Only its attention is ours: see `RelativeAttention`.
    """

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
        for block in self.blocks:
            block.attn = RelativeAttention(block.attn)
        self.img_size = img_size
        self.embedding_size = img_size // 16

    def forward(self, x: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B C h w"]:
        return self.forward_features(x)


class RelativeAttention(nn.Module):
    """Attention over a grid, with a term for the rows and one for the columns between two cells.

    The weights are those of the timm layer that it takes the place of, and so are the results.
    On a CPU without gradients the terms, a number for each pair of cells and head, are made for
    a few rows of queries at a time, and the scores never (`scaled_dot_product_attention`). On a
    GPU, outside of training, those of large grids are not made at all (`attend_with_codes`).
    """

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.rel_pos_h, self.rel_pos_w = attention.rel_pos_h, attention.rel_pos_w
        self.qkv, self.proj = attention.qkv, attention.proj

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        _, height, width, _ = x.shape
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(3, 0, 4, 1, 2, 5)
        q, k, v = qkv.unbind(0)  # (B, heads, H, W, c)
        down = torch.einsum("bnhwc,hkc->bnhwk", q, get_rel_pos(height, height, self.rel_pos_h))
        right = torch.einsum("bnhwc,wkc->bnhwk", q, get_rel_pos(width, width, self.rel_pos_w))

        k, v = k.flatten(2, 3), v.flatten(2, 3)  # (B, heads, HW, c)
        step = self._rows_at_once(q)
        cells, sides = height * width, height + width
        if q.is_cuda and not self.training and cells > CELLS_PER_SIDE * sides:
            x = attend_with_codes(q, down, right, k, v)
        elif step < height:
            x = attend_by_rows(q, k, v, down, right, step=step)
        else:
            x = attend(q, down, right, k, v)
        return self.proj(x.transpose(1, 2).flatten(2)).unflatten(1, (height, width))

    def _rows_at_once(self, q: Float[Tensor, "B heads H W c"]) -> int:
        batch, heads, height, width, _ = q.shape
        if torch.is_grad_enabled() or q.device.type != "cpu":
            return height
        terms_of_a_row = heads * width * height * width
        if torch.compiler.is_exporting():  # the number of images is open: as for one
            return max(EXPORTED_TERMS // terms_of_a_row, 1)
        return max(CPU_TERMS // (batch * terms_of_a_row), 1)


def attend_by_rows(
    q: Float[Tensor, "B heads H W c"],
    k: Float[Tensor, "B heads HW c"],
    v: Float[Tensor, "B heads HW c"],
    down: Float[Tensor, "B heads H W H"],
    right: Float[Tensor, "B heads H W W"],
    *,
    step: int,
) -> Float[Tensor, "B heads HW c"]:
    """Attention of `step` rows of queries at a time.

    The results go into one array: kept apart until the end, they would lie between the terms of
    their rows and leave the heap full of holes (0.4 GB).
    """
    parts = [part.split(step, dim=2) for part in (q, down, right)]
    if torch.compiler.is_exporting():  # a graph would copy the array for every part of it
        rows = zip(*parts, strict=True)
        return torch.cat([attend(q, down, right, k, v) for q, down, right in rows], dim=2)
    x = torch.empty_like(k)
    targets = x.split(step * q.shape[3], dim=2)
    for q_rows, down_rows, right_rows, x_rows in zip(*parts, targets, strict=True):
        x_rows.copy_(attend(q_rows, down_rows, right_rows, k, v))
    return x


def attend(
    q: Float[Tensor, "B heads h W c"],
    down: Float[Tensor, "B heads h W H"],
    right: Float[Tensor, "B heads h W W"],
    k: Float[Tensor, "B heads HW c"],
    v: Float[Tensor, "B heads HW c"],
) -> Float[Tensor, "B heads h*W c"]:
    """Attention of some rows of queries to all cells."""
    terms = position_terms(down, right)
    return F.scaled_dot_product_attention(q.flatten(2, 3), k, v, attn_mask=terms)


def attend_with_codes(
    q: Float[Tensor, "B heads H W c"],
    down: Float[Tensor, "B heads H W H"],
    right: Float[Tensor, "B heads H W W"],
    k: Float[Tensor, "B heads HW c"],
    v: Float[Tensor, "B heads HW c"],
) -> Float[Tensor, "B heads HW c"]:
    """Attention with the position terms as further channels of queries and keys.

    Each cell gets a one-hot code of its row and one of its column as further channels of its key,
    and the terms become further channels of the query, so that their product picks the right two.
    """
    height, width = q.shape[2:4]
    rows = torch.eye(height, dtype=k.dtype, device=k.device).repeat_interleave(width, dim=0)
    columns = torch.eye(width, dtype=k.dtype, device=k.device).repeat(height, 1)
    codes = torch.cat([rows, columns], dim=1).expand(*k.shape[:2], -1, -1)
    root = q.shape[-1] ** 0.5
    q = torch.cat([q, root * down, root * right], dim=-1).flatten(2, 3)
    k = torch.cat([k, codes], dim=-1)
    return F.scaled_dot_product_attention(q, k, v, scale=1 / root)


def position_terms(
    down: Float[Tensor, "B heads h W H"], right: Float[Tensor, "B heads h W W"]
) -> Float[Tensor, "B heads h*W H*W"]:
    """The position terms of some rows of queries with all cells."""
    return (down[..., :, None] + right[..., None, :]).flatten(4).flatten(2, 3)
