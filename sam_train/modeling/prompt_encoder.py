"""Points, boxes and masks to embeddings (SAM, section 3 and App. A)."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from sam_train.interaction.prompts import BOTTOM_RIGHT, PADDING, TOP_LEFT, Prompts
from sam_train.modeling.layers import LayerNorm2d
from sam_train.modeling.maps.cells import unfold_twice
from sam_train.modeling.maps.prompt_maps import (
    ELLIPSE,
    PromptMaps,
    compare_with_prompts,
    draw_prompts,
)


class PositionEmbeddingRandom(nn.Module):
    """Random Fourier features of positions; the matrix is part of the weights."""

    def __init__(self, num_pos_feats: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, num_pos_feats))

    def forward(self, size: tuple[int, int]) -> Float[Tensor, "C h w"]:
        """Encodes the cell centres of a grid of (h, w) cells."""
        device = self.positional_encoding_gaussian_matrix.device
        y, x = ((torch.arange(n, device=device) + 0.5) / n for n in size)
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # (h, w, 2)
        return self.encode(grid).permute(2, 0, 1)

    def encode_pixels(
        self, coords: Float[Tensor, "*batch 2"], image_size: tuple[int, int]
    ) -> Float[Tensor, "*batch C"]:
        """Encodes (x, y) pixels of a padded input frame of (H, W)."""
        height, width = image_size
        return self.encode(coords.float() / coords.new_tensor([width, height]).float())

    def encode(self, coords: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch C"]:
        """Encodes (x, y) in [0, 1], in fp32 also under autocast (half a pixel is lost in bf16)."""
        with torch.autocast(coords.device.type, enabled=False):
            matrix = self.positional_encoding_gaussian_matrix.float()
            angle = 2 * math.pi * ((2 * coords.float() - 1) @ matrix)
            return torch.cat([angle.sin(), angle.cos()], dim=-1)


class PromptEncoder(nn.Module):
    """Turns prompts into sparse tokens (points, boxes) and a dense map (the mask prompt)."""

    def __init__(
        self,
        embed_dim: int,
        image_embedding_size: tuple[int, int],
        input_image_size: tuple[int, int],
        mask_in_chans: int,
        draws_prompts: bool = False,
    ) -> None:
        """`draws_prompts` adds points and boxes to the dense embedding as maps (`PromptMaps`)."""
        super().__init__()
        self.embed_dim = embed_dim
        self.image_embedding_size = image_embedding_size
        self.input_image_size = input_image_size
        self.mask_input_size = tuple(4 * side for side in image_embedding_size)
        self.pe_layer = PositionEmbeddingRandom(embed_dim // 2)
        # In this order: background, foreground, top-left corner, bottom-right corner.
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, embed_dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, embed_dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_in_chans // 4, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans // 4),
            nn.GELU(),
            nn.Conv2d(mask_in_chans // 4, mask_in_chans, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans),
            nn.GELU(),
            nn.Conv2d(mask_in_chans, embed_dim, kernel_size=1),
        )
        self.no_mask_embed = nn.Embedding(1, embed_dim)
        self.prompt_maps = PromptMaps(embed_dim) if draws_prompts else None

    def get_dense_pe(self) -> Float[Tensor, "1 C h w"]:
        """The positional code of every cell of the image embedding."""
        return self.pe_layer(self.image_embedding_size)[None]

    def forward(
        self,
        points: tuple[Float[Tensor, "N P 2"], Int[Tensor, "N P"]] | None,
        boxes: Float[Tensor, "N 4"] | Float[Tensor, "N 1 4"] | None,
        masks: Float[Tensor, "N 1 H W"] | None,
        image_embeddings: Float[Tensor, "1 embedding h w"] | None = None,
    ) -> tuple[Float[Tensor, "N K C"], Float[Tensor, "N dense h w"]]:
        """Encodes prompts of one kind each, as the segment_anything package does.

        Coordinates are pixels of the padded input frame, boxes XYXY, masks low-resolution
        logits. Points without boxes get one padding point. Only a model that draws its prompts
        reads the image's embedding.
        """
        coords, labels = list_points(points, boxes, masks)
        coords = coords.to(self.no_mask_embed.weight)
        dense = self.embed_no_mask(len(coords)) if masks is None else self.mask_downscaling(masks)
        affinity = None if image_embeddings is None else self.affinity(image_embeddings)
        dense = self.add_maps(dense, coords, labels, affinity)
        return self.embed_points(coords, labels), dense

    def embed_prompts(
        self,
        prompts: Prompts,
        image_embeddings: Float[Tensor, "B embedding h w"],
        image_index: Int[Tensor, " N"],
    ) -> tuple[Float[Tensor, "N K C"], Float[Tensor, "N dense h w"]]:
        """Encodes prompts of several images; prompt n belongs to image `image_index[n]`."""
        coords, labels = prompts.point_coords, prompts.point_labels
        if prompts.mask_inputs is None:
            dense = self.embed_no_mask(len(coords))
        else:
            dense = self.embed_masks(prompts.mask_inputs, prompts.has_mask)
        affinity = of_prompts(self.affinity(image_embeddings), image_index)
        return self.embed_points(coords, labels), self.add_maps(dense, coords, labels, affinity)

    def embed_points(
        self, coords: Float[Tensor, "N P 2"], labels: Int[Tensor, "N P"]
    ) -> Float[Tensor, "N P C"]:
        """Embeds (x, y) pixels of the input frame by label: 1, 0, 2 and 3 for box corners, -1.

        The half pixel is SAM's: an integer coordinate means the centre of its pixel.
        A padding point has no position, only its trained embedding.
        """
        position = self.pe_layer.encode_pixels(coords + 0.5, self.input_image_size)
        kinds = torch.cat(
            [self.not_a_point_embed.weight] + [e.weight for e in self.point_embeddings]
        )
        is_point = (labels != PADDING)[..., None]
        return torch.where(is_point, position, 0) + kinds[labels.long() + 1]

    def embed_no_mask(self, count: int) -> Float[Tensor, "N C h w"]:
        """The dense embedding of prompts without a mask."""
        embed = self.no_mask_embed.weight.reshape(1, -1, 1, 1)
        return embed.expand(count, -1, *self.image_embedding_size)

    def embed_masks(
        self, masks: Float[Tensor, "N 1 H W"], has_mask: Bool[Tensor, " N"]
    ) -> Float[Tensor, "N C h w"]:
        """Embeds mask prompts where there is one and the no-mask embedding elsewhere."""
        *layers, out = self.mask_downscaling
        has_mask = has_mask[:, None, None, None]
        for layer in layers:
            masks = layer(masks)
        # Chosen before the last layer, a sixteenth of what it gives.
        offset = torch.where(has_mask, out.bias[:, None, None], self.embed_no_mask(1)[..., :1, :1])
        return F.conv2d(torch.where(has_mask, masks, 0), out.weight) + offset

    def add_maps(
        self,
        dense: Float[Tensor, "N C h w"],
        coords: Float[Tensor, "N P 2"],
        labels: Int[Tensor, "N P"],
        affinity: Float[Tensor, "#N E side side"] | None,
    ) -> Float[Tensor, "N dense h w"]:
        """Adds points and boxes as maps, in a model that draws its prompts."""
        if self.prompt_maps is None:
            return dense
        if affinity is None:
            raise ValueError("This model compares prompts with the image: pass image_embeddings.")
        height, width = self.input_image_size
        shares = (coords.float() + 0.5) / coords.new_tensor([width, height])
        # A padding point draws nothing; without any, a graph would reduce over no points.
        shares, labels = F.pad(shares, (0, 0, 0, 1)), F.pad(labels, (0, 1), value=PADDING)
        side = self.mask_input_size[0]
        drawn = draw_prompts(shares, labels, side, tight=not self.training)
        alike = compare_with_prompts(affinity, shares, labels, ellipse=drawn[:, ELLIPSE])
        maps = self.prompt_maps(torch.cat([drawn, alike], dim=1))
        return maps + F.pad(dense, (0, 0, 0, 0, 0, maps.shape[1] - dense.shape[1]))

    def affinity(
        self, image_embeddings: Float[Tensor, "B embedding h w"]
    ) -> Float[Tensor, "B E 4*h 4*w"]:
        """The affinity features that an encoder folded into the last channels (none: E is 0)."""
        return unfold_twice(image_embeddings[:, 4 * self.embed_dim :])


def of_prompts(x: Tensor, image_index: Int[Tensor, " N"]) -> Tensor:
    """What belongs to the image of each prompt; that of a single image is not repeated."""
    if len(x) == 1:
        return x
    return x.index_select(0, image_index)  # a fifth of the time of [...]


def list_points(
    points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, masks: Tensor | None
) -> tuple[Float[Tensor, "N P 2"], Int[Tensor, "N P"]]:
    """The points, with a padding point where there is no box, or the corners of the box, or both.

    A prompt that is a mask alone, or nothing, has no points.
    """
    if points is None and boxes is None:
        count = 1 if masks is None else len(masks)
        none = torch.empty(count, 0, 2, device=None if masks is None else masks.device)
        return none, none.new_empty(count, 0, dtype=torch.int64)
    if boxes is None:
        coords, labels = points
        coords = torch.cat([coords, coords.new_zeros(len(coords), 1, 2)], dim=1)
        return coords, torch.cat([labels, labels.new_full((len(labels), 1), PADDING)], dim=1)
    corners = boxes.reshape(-1, 2, 2)
    marks = torch.tensor([TOP_LEFT, BOTTOM_RIGHT], device=boxes.device).expand(len(boxes), 2)
    if points is None:
        return corners, marks
    return torch.cat([points[0], corners], dim=1), torch.cat([points[1], marks], dim=1)
