"""What EfficientSAM does otherwise than SAM (Xiong et al. 2023, and its published code)."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from sam_train.interaction.prompts import BOTTOM_RIGHT, FOREGROUND, PADDING, TOP_LEFT, Prompts
from sam_train.modeling.layers import MLP
from sam_train.modeling.mask_decoder import MaskDecoder
from sam_train.modeling.prompt_encoder import PositionEmbeddingRandom, list_points
from sam_train.modeling.sam import Sam
from sam_train.modeling.transformer import TwoWayAttentionBlock

MAX_POINTS = 6  # that an object's prompt has, the corners of its box included


class EfficientSam(Sam):
    """SAM with stretched images and masks that are enlarged by cubic splines.

    Where `keeps_aspect` is set, images are padded and masks enlarged as in SAM.
    """

    keeps_aspect = False

    def postprocess_masks(
        self,
        masks: Float[Tensor, "N M h w"],
        input_size: tuple[int, ...],
        original_size: tuple[int, ...],
    ) -> Float[Tensor, "N M H W"]:
        """Enlarges low-resolution logits to the original image in one step, without padding."""
        if self.keeps_aspect:
            return super().postprocess_masks(masks, input_size, original_size)
        return F.interpolate(masks, tuple(original_size), mode="bicubic", align_corners=False)


class PointEncoder(nn.Module):
    """Turns points and boxes into exactly six tokens; mask prompts do not exist.

    A background point is its position alone. What is missing is a point at -1, whose position
    counts. A mask prompt that is given, as interactive protocols do, changes nothing.
    """

    prompt_maps = None  # points are not drawn (`PromptMaps`)

    def __init__(
        self,
        embed_dim: int,
        image_embedding_size: tuple[int, int],
        input_image_size: tuple[int, int],
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.image_embedding_size = image_embedding_size
        self.input_image_size = input_image_size
        self.mask_input_size = tuple(4 * side for side in image_embedding_size)
        self.pe_layer = PositionEmbeddingRandom(embed_dim // 2)
        self.invalid_points = nn.Embedding(1, embed_dim)
        self.point_embeddings = nn.Embedding(1, embed_dim)
        self.bbox_top_left_embeddings = nn.Embedding(1, embed_dim)
        self.bbox_bottom_right_embeddings = nn.Embedding(1, embed_dim)

    def get_dense_pe(self) -> Float[Tensor, "1 C h w"]:
        """The positional code of every cell of the image embedding."""
        return self.pe_layer(self.image_embedding_size)[None]

    def forward(
        self,
        points: tuple[Float[Tensor, "N P 2"], Int[Tensor, "N P"]] | None,
        boxes: Float[Tensor, "N 4"] | None,
        masks: Float[Tensor, "N 1 H W"] | None = None,
        image_embeddings: Tensor | None = None,
    ) -> tuple[Float[Tensor, "N 6 C"], Float[Tensor, "N C h w"]]:
        """Encodes prompts as `PromptEncoder` does."""
        coords, labels = list_points(points, boxes, masks)
        tokens = self.embed_points(coords.to(self.invalid_points.weight), labels)
        return tokens, self.embed_no_mask(len(tokens))

    def embed_prompts(
        self,
        prompts: Prompts,
        image_embeddings: Float[Tensor, "B C h w"],
        image_index: Int[Tensor, " N"],
    ) -> tuple[Float[Tensor, "N 6 C"], Float[Tensor, "N C h w"]]:
        """Encodes prompts of several images, at none of which it looks."""
        return self.embed_points(prompts.point_coords, prompts.point_labels), self.embed_no_mask(
            len(prompts.point_labels)
        )

    def embed_points(
        self, coords: Float[Tensor, "N P 2"], labels: Int[Tensor, "N P"]
    ) -> Float[Tensor, "N 6 C"]:
        """Embeds (x, y) pixels of the input frame by label, as `PromptEncoder` does."""
        coords, labels = six_points(coords, labels.long())
        tokens = self.pe_layer.encode_pixels(coords + 0.5, self.input_image_size)
        kinds = {
            PADDING: self.invalid_points,
            FOREGROUND: self.point_embeddings,
            TOP_LEFT: self.bbox_top_left_embeddings,
            BOTTOM_RIGHT: self.bbox_bottom_right_embeddings,
        }
        for label, embedding in kinds.items():
            tokens = tokens + (labels == label)[..., None] * embedding.weight
        return tokens

    def embed_no_mask(self, count: int) -> Float[Tensor, "N C h w"]:
        """Zeros: nothing is added to the image embedding."""
        weight = self.invalid_points.weight
        return weight.new_zeros(1, 1, 1, 1).expand(
            count, self.embed_dim, *self.image_embedding_size
        )

    def affinity(self, image_embeddings: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 0 h w"]:
        """None: the encoder gives no affinity features."""
        return image_embeddings[:, :0]


def six_points(
    coords: Float[Tensor, "N P 2"], labels: Int[Tensor, "N P"]
) -> tuple[Float[Tensor, "N 6 2"], Int[Tensor, "N 6"]]:
    """The corners of each prompt's box and its first points; padding, at (-1, -1), is last."""
    coords = F.pad(coords, (0, 0, 0, MAX_POINTS), value=-1.0)
    labels = F.pad(labels, (0, MAX_POINTS), value=PADDING)
    places = torch.arange(labels.shape[1], device=labels.device)
    kind = (labels == PADDING).long() - (labels >= TOP_LEFT).long()
    rank = places + labels.shape[1] * kind
    first = rank.topk(MAX_POINTS, dim=1, largest=False).indices
    labels = labels.gather(1, first)
    coords = coords.gather(1, first[..., None].expand(-1, -1, 2))
    return torch.where((labels == PADDING)[..., None], -1.0, coords), labels


class EfficientBlock(TwoWayAttentionBlock):
    """A block with GELU, in which positions are added to the tokens themselves, and stay."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.mlp.act = nn.GELU()

    def attend_to_tokens(
        self, queries: Float[Tensor, "N T C"], query_pe: Float[Tensor, "N T C"]
    ) -> Float[Tensor, "N T C"]:
        if not self.skip_first_layer_pe:
            queries = queries + query_pe
        return queries + self.self_attn(q=queries, k=queries, v=queries)


class EfficientMaskDecoder(MaskDecoder):
    """SAM's decoder with GELU, and a norm over the whole map instead of each pixel's channels."""

    def __init__(self, *, transformer_dim: int, transformer: nn.Module) -> None:
        super().__init__(transformer_dim=transformer_dim, transformer=transformer)
        self.output_upscaling[1] = nn.GroupNorm(1, transformer_dim // 4)
        for module in self.modules():
            if isinstance(module, MLP):
                module.act = F.gelu

    def normalize(
        self, x: Float[Tensor, "N pixels C"], norm: nn.Module
    ) -> Float[Tensor, "N pixels C"]:
        return norm(x.transpose(1, 2)).transpose(1, 2)
