"""Masked-image pre-training that predicts a teacher's features: SAMI (EfficientSAM, section 3)."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sam_train.data.store.embeddings import EmbeddingCache
from sam_train.data.stream.collate import Batch
from sam_train.interaction.masks import inside_image
from sam_train.modeling.image_encoder.plain_vit import ImageEncoderPlain
from sam_train.modeling.sam import Sam
from sam_train.training.distillation.encoder import check_aspect, check_views, embedding_losses
from sam_train.training.optim import Optimization
from sam_train.training.step import StepModule


class SamiPretraining(StepModule):
    """Pre-trains a plain ViT: from a few patches of an image it predicts the teacher's features.

    What is the same in all images, such as a code of positions, is taken off the features, and
    every channel has a variance of 1, so a loss of 1 tells that nothing was seen.

    Only the encoder's patches, positions and blocks learn; its neck and SAM's decoder learn after
    it, in a training with `fit=pretrained` or `pretrained_parts`. `autoencoder` makes a
    `MaskedAutoencoder` of the encoder and the width of the teacher's features. An image is
    predicted from several `views` of it at once, which repeats neither its reading nor the
    teacher's features (repeated sampling, Feichtenhofer et al. 2022, section 3).
    """

    def __init__(
        self,
        sam: Sam,
        *,
        embeddings: EmbeddingCache,
        autoencoder: Callable[..., "MaskedAutoencoder"],
        optimization: Optimization,
        views: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(sam, optimization=optimization, seed=seed)
        encoder = sam.image_encoder
        if not isinstance(encoder, ImageEncoderPlain):
            raise ValueError(
                f"SAMI pre-trains a plain ViT, not a {type(encoder).__name__}: choose "
                "model=tiny_plain, efficient_sam_ti or efficient_sam_s"
            )
        grid = (encoder.embedding_size, encoder.embedding_size)
        if embeddings.shape[1:] != grid:
            raise ValueError(
                f"the teacher's embeddings in {embeddings.folder} are on a grid of "
                f"{embeddings.shape[1:]}, the student's are on {grid}: give both one image_size"
            )
        check_aspect(sam, embeddings)
        if views < 1:
            raise ValueError(f"views is {views}; an image must be looked at once at least")
        self.views = views
        self.embeddings = embeddings
        mean, deviation = embeddings.moments()
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)
        self.autoencoder = autoencoder(encoder, feature_dim=embeddings.shape[0])

    @property
    def learner(self) -> nn.Module:
        return self.autoencoder

    def on_train_start(self) -> None:
        super().on_train_start()
        check_views(self.trainer.datamodule)  # type: ignore[attr-defined]

    def learn(self, batch: Batch, step: int) -> tuple[dict[str, float], dict[str, Any]]:
        images = (batch["images"] - self.sam.pixel_mean) / self.sam.pixel_std
        images = images * inside_image(batch["input_sizes"], images.shape[-2:])[:, None]
        target = self.embeddings.of(batch["keys"]).to(self.device)
        target = (target - self.mean) / self.deviation
        losses = [
            embedding_losses(features, target, batch, image_size=self.sam.image_size)
            for features in self.autoencoder(images.repeat(self.views, 1, 1, 1)).chunk(self.views)
        ]
        return {"train/loss": self.learn_mean(torch.stack(losses).mean(0))}, {}


class MaskedAutoencoder(nn.Module):
    """An encoder of the visible patches and a cross-attention decoder of the hidden ones.

    Queries are the hidden tokens alone; keys and values are all tokens. What the encoder makes
    of the visible ones is not decoded, it stands as it is (EfficientSAM, section 3.2). The
    defaults, with the share of the patches that is hidden, are the paper's (section 4.1).
    """

    def __init__(
        self,
        image_encoder: ImageEncoderPlain,
        *,
        feature_dim: int,
        dim: int = 512,
        depth: int = 8,
        heads: int = 16,
        mask_ratio: float = 0.75,
    ) -> None:
        super().__init__()
        if not 0 < mask_ratio < 1:
            raise ValueError(f"mask_ratio is {mask_ratio}; it must be above 0 and below 1")
        self.image_encoder = image_encoder
        self.mask_ratio = mask_ratio
        width = image_encoder.pos_embed.shape[-1]
        self.hidden_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.to_decoder = nn.Linear(width, dim)
        self.position_to_decoder = nn.Linear(width, dim)
        self.blocks = nn.ModuleList(CrossAttentionBlock(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, feature_dim)
        nn.init.normal_(self.hidden_token, std=0.02)

    def forward(self, images: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B F h w"]:
        """The teacher's features as predicted from other visible patches in each call."""
        encoder = self.image_encoder
        size = (encoder.embedding_size, encoder.embedding_size)
        positions = encoder.positions(size)
        visible, hidden = self._split(len(images), positions.shape[1], images.device)
        tokens = tokens_at(encoder.embed_patches(images) + positions, visible)
        for block in encoder.blocks:
            tokens = block(tokens)

        places = self.position_to_decoder(positions).expand(len(images), -1, -1)
        anchors = self.to_decoder(tokens) + tokens_at(places, visible)
        decoded = self.hidden_token + tokens_at(places, hidden)
        for block in self.blocks:
            decoded = block(decoded, anchors)
        order = torch.cat([visible, hidden], 1).argsort(1)
        features = self.head(self.norm(tokens_at(torch.cat([anchors, decoded], 1), order)))
        return features.transpose(1, 2).unflatten(2, size)

    def _split(
        self, batch: int, patches: int, device: torch.device
    ) -> tuple[Int[Tensor, "B v"], Int[Tensor, "B u"]]:
        """Which patches of each image are seen, and which are not; both at random."""
        order = torch.rand(batch, patches, device=device).argsort(1)
        seen = max(round(patches * (1 - self.mask_ratio)), 1)
        return order[:, :seen], order[:, seen:]


class CrossAttentionBlock(nn.Module):
    """Hidden tokens look at all tokens, then each at itself; norms come first."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm_query, self.norm_context = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.mlp = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim)
        )

    def forward(
        self, hidden: Float[Tensor, "B u D"], anchors: Float[Tensor, "B v D"]
    ) -> Float[Tensor, "B u D"]:
        query = self.norm_query(hidden)
        context = torch.cat([self.norm_context(anchors), query], 1)
        hidden = hidden + self.attention(query, context, context, need_weights=False)[0]
        return hidden + self.mlp(hidden)


def tokens_at(tokens: Float[Tensor, "B n D"], places: Int[Tensor, "B m"]) -> Float[Tensor, "B m D"]:
    """The tokens at some places of each image."""
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[-1]))
