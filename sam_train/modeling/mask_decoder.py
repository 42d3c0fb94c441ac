"""Image embedding and prompt tokens to masks and their predicted IoU (SAM, section 3, App. A)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sam_train.modeling.layers import MLP, LayerNorm2d
from sam_train.modeling.maps.cells import unfold_twice
from sam_train.modeling.maps.mask_quality import MaskQuality

# Cells of image embeddings that are decoded at once on a CPU without gradients: four prompts of
# 1024 pixels, whose maps of 4 MB stay in the cache (64 clicks: a third less time than all at once).
CPU_CELLS = 2**14

IOU_HEAD_DIM = 256  # whatever the width of the decoder


class MaskDecoder(nn.Module):
    """One mask for several prompts (token 0), three for an ambiguous one (tokens 1 to 3)."""

    def __init__(
        self,
        *,
        transformer_dim: int,
        transformer: nn.Module,
        num_prompt_maps: int = 0,
    ) -> None:
        super().__init__()
        self.transformer_dim = transformer_dim
        self.transformer = transformer
        self.num_mask_tokens = 4
        self.iou_token = nn.Embedding(1, transformer_dim)
        self.mask_tokens = nn.Embedding(self.num_mask_tokens, transformer_dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(transformer_dim, transformer_dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(transformer_dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(transformer_dim // 4, transformer_dim // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        mask_dim = transformer_dim // 8 + num_prompt_maps
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(transformer_dim, transformer_dim, output_dim=mask_dim, num_layers=3)
            for _ in range(self.num_mask_tokens)
        )
        self.iou_prediction_head = MLP(
            transformer_dim, IOU_HEAD_DIM, output_dim=self.num_mask_tokens, num_layers=3
        )
        self.mask_quality = MaskQuality(num_prompt_maps) if num_prompt_maps else None

    def forward(
        self,
        image_embeddings: Float[Tensor, "1 embedding h w"],
        image_pe: Float[Tensor, "1 C h w"],
        sparse_prompt_embeddings: Float[Tensor, "N K C"],
        dense_prompt_embeddings: Float[Tensor, "N dense h w"],
        multimask_output: bool,
    ) -> tuple[Float[Tensor, "N M 4*h 4*w"], Float[Tensor, "N M"]]:
        """Low-resolution logits and predicted IoU of the prompts of one image."""
        low_res_logits, iou_pred = self.predict_masks(
            image_embeddings, image_pe, sparse_prompt_embeddings, dense_prompt_embeddings
        )
        tokens = slice(1, None) if multimask_output else slice(0, 1)
        return low_res_logits[:, tokens], iou_pred[:, tokens]

    def predict_masks(
        self,
        image_embeddings: Float[Tensor, "#N embedding h w"],
        image_pe: Float[Tensor, "1 C h w"],
        sparse_prompt_embeddings: Float[Tensor, "N K C"],
        dense_prompt_embeddings: Float[Tensor, "N dense h w"],
    ) -> tuple[Float[Tensor, "N 4 4*h 4*w"], Float[Tensor, "N 4"]]:
        """All candidates of every prompt; one image embedding for all, or one for each prompt.

        Channels beyond C are the details of the image (`ImageEncoderPyramid`) and the maps of
        the prompts (`PromptMaps`), from which the hypernetworks compose masks too.
        """
        count, size = len(sparse_prompt_embeddings), max(CPU_CELLS // image_pe[0, 0].numel(), 1)
        parts = (image_embeddings, sparse_prompt_embeddings, dense_prompt_embeddings)
        is_whole = torch.is_grad_enabled() or torch.compiler.is_exporting()
        if is_whole or image_pe.device.type != "cpu" or count <= size:
            return self._predict_masks(image_pe, *parts)
        chunks = [
            self._predict_masks(image_pe, *chunk)
            for chunk in zip(
                *(part.expand(count, *part.shape[1:]).split(size) for part in parts), strict=True
            )
        ]
        low_res_logits, iou_pred = zip(*chunks, strict=True)
        return torch.cat(low_res_logits), torch.cat(iou_pred)

    def _predict_masks(
        self,
        image_pe: Float[Tensor, "1 C h w"],
        image_embeddings: Float[Tensor, "#N embedding h w"],
        sparse_prompt_embeddings: Float[Tensor, "N K C"],
        dense_prompt_embeddings: Float[Tensor, "N dense h w"],
    ) -> tuple[Float[Tensor, "N 4 4*h 4*w"], Float[Tensor, "N 4"]]:
        image_embeddings, dense = unrepeated(image_embeddings), unrepeated(dense_prompt_embeddings)
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat(
            [output_tokens.expand(len(sparse_prompt_embeddings), -1, -1), sparse_prompt_embeddings],
            dim=1,
        )
        dim = self.transformer_dim
        content, details = image_embeddings[:, : 4 * dim].tensor_split([dim], dim=1)
        dense, maps = dense.tensor_split([dim], dim=1)
        source = content + dense
        tokens, source_tokens = self.transformer(source, image_pe, tokens)
        iou_token, mask_tokens = tokens[:, 0], tokens[:, 1 : 1 + self.num_mask_tokens]

        weights = torch.stack(
            [mlp(mask_tokens[:, i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], dim=2
        )  # (N, C / 8 + maps, 4)
        weights, map_weights = weights.tensor_split([dim // 8], dim=1)
        logits = self.upscale(source_tokens, details) @ weights  # (N, hw * 16, 4)
        low_res_logits = unfold_quarters(logits, *source.shape[-2:])
        iou_pred = self.iou_prediction_head(iou_token)
        if self.mask_quality is not None:
            maps = unfold_twice(maps)
            low_res_logits = low_res_logits + (map_weights.mT @ maps.flatten(2)).unflatten(
                2, maps.shape[2:]
            )
            iou_pred = iou_pred + self.mask_quality(low_res_logits, maps)
        return low_res_logits, iou_pred

    def upscale(
        self, source_tokens: Float[Tensor, "N HW C"], details: Float[Tensor, "#N details h w"]
    ) -> Float[Tensor, "N pixels D"]:
        """`output_upscaling` as matrix products: kernel and stride are equal, so cells do not mix.

        The channels stay last, which makes the layer norm and the following product with the
        hypernetworks' weights contiguous. The order of pixels is cell, quarter, quarter of it.
        Details are added as SAM 2 does: those of stride 8 before the norm, of stride 4 last.
        """
        first, norm, act, second, last_act = self.output_upscaling
        halves, quarters = split_details(details, self.transformer_dim)
        x = quarter(source_tokens, first)
        x = x if halves is None else x + halves.to(x.dtype)
        x = act(self.normalize(x, norm))
        x = quarter(x, second)
        return last_act(x if quarters is None else x + quarters.to(x.dtype))

    def normalize(
        self, x: Float[Tensor, "N pixels C"], norm: nn.Module
    ) -> Float[Tensor, "N pixels C"]:
        """`LayerNorm2d` where the channels are last."""
        return F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.eps)


def unrepeated(x: Float[Tensor, "N D h w"]) -> Float[Tensor, "#N D h w"]:
    """The one that was expanded to N, or all N."""
    return x[:1] if x.stride(0) == 0 else x


def split_details(
    details: Float[Tensor, "N D h w"], dim: int
) -> tuple[Tensor | None, Tensor | None]:
    """Details of 4 and of 16 pixels to a cell, (N, 4 hw, C / 4) and (N, 16 hw, C / 8), if any."""
    if not details.shape[1]:
        return None, None
    cells = details.flatten(2).transpose(1, 2)  # (N, hw, 3 C)
    halves, quarters = cells.split([dim, 2 * dim], dim=-1)
    count, cell_count = cells.shape[:2]  # named, because there may be no prompt at all
    return (
        halves.reshape(count, 4 * cell_count, dim // 4),
        quarters.reshape(count, 16 * cell_count, dim // 8),
    )


def quarter(
    x: Float[Tensor, "N pixels C"], layer: nn.ConvTranspose2d
) -> Float[Tensor, "N quarters D"]:
    """A transposed convolution with kernel and stride 2 on a list of pixels; quarters by rows."""
    weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (4 D, C)
    return F.linear(x, weight, layer.bias.repeat(4)).unflatten(-1, (4, -1)).flatten(1, 2)


def unfold_quarters(
    logits: Float[Tensor, "N pixels M"], height: int, width: int
) -> Float[Tensor, "N M H W"]:
    """Puts pixels that are listed by cell, quarter and quarter of it back on their grid."""
    count, candidates = len(logits), logits.shape[-1]
    cells = logits.reshape(count, height * width, 16 * candidates).mT
    return unfold_twice(cells.reshape(count, 16 * candidates, height, width))
