"""The official network and ours with the same weights, small, and a drawn photo."""

from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import nn
from torch.nn import functional as F

import sam_train.modeling.sam
from sam_train.modeling.build import assemble
from sam_train.modeling.image_encoder import vit
from sam_train.modeling.weights.loading import official_state_dict

SIDE, DIM = 128, 64


@pytest.fixture(scope="session")
def sam() -> nn.Module:
    torch.manual_seed(0)
    encoder = vit.ImageEncoderViT(
        SIDE, 48, depth=2, num_heads=3, global_attn_indexes=(1,), out_chans=DIM
    )
    sam = assemble(encoder, dim=DIM, depth=2, num_heads=8, mlp_dim=128, dropout=0.0).eval()
    with torch.no_grad():  # what starts at zero must matter too
        for parameter in sam.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
        for mlp in sam.mask_decoder.output_hypernetworks_mlps:  # steep masks, as trained ones
            mlp.layers[-1].weight *= 100
    return sam


@pytest.fixture(scope="session")
def official_sam(sam: nn.Module) -> Sam:
    official = Sam(
        ImageEncoderViT(
            img_size=SIDE,
            embed_dim=48,
            depth=2,
            num_heads=3,
            global_attn_indexes=(1,),
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=14,
            out_chans=DIM,
        ),
        OfficialPrompts(DIM, (SIDE // 16, SIDE // 16), (SIDE, SIDE), mask_in_chans=16),
        MaskDecoder(
            transformer_dim=DIM,
            transformer=TwoWayTransformer(depth=2, embedding_dim=DIM, mlp_dim=128, num_heads=8),
        ),
    )
    official.load_state_dict(official_state_dict(sam))
    return official.eval()


class OfficialPrompts(PromptEncoder):
    """The official prompt encoder, which does not look at the image as some of ours do."""

    def forward(
        self,
        points: Any,
        boxes: Any,
        masks: Any,
        image_embeddings: torch.Tensor | None = None,
    ) -> Any:
        return super().forward(points, boxes, masks)


class BlobDecoder(nn.Module):
    """Answers a click with three blobs around it, frayed by the image.

    The product of two positional codes falls with the distance, so it needs no training.
    """

    def forward(
        self,
        image_embeddings: torch.Tensor,
        image_pe: torch.Tensor,
        sparse_prompt_embeddings: torch.Tensor,
        dense_prompt_embeddings: torch.Tensor,
        multimask_output: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        click = sparse_prompt_embeddings[:, 0]
        nearness = torch.einsum("nc,bchw->nhw", click, image_pe) * 2 / click.shape[1]
        texture = image_embeddings[:, :6].unflatten(1, (2, 3)).mean(1)  # (1, 3, h, w)
        levels = torch.tensor([0.4, 0.6, 0.8])[:, None, None]
        logits = 200 * (nearness[:, None] - levels + 0.05 * texture)
        logits = F.interpolate(logits, scale_factor=4, mode="bicubic")
        return logits, 0.9 + 0.01 * nearness.flatten(1)[:, 9:12]


@pytest.fixture(scope="session")
def blob_sam(official_sam: Sam) -> nn.Module:
    """Ours of official parts, with a decoder whose masks pass the filters."""
    encoder, prompts = official_sam.image_encoder, official_sam.prompt_encoder
    return sam_train.modeling.sam.Sam(encoder, prompts, BlobDecoder()).eval()


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """Smooth colours at an odd size."""
    cells = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return cv2.resize(cells, (211, 173), interpolation=cv2.INTER_CUBIC)
