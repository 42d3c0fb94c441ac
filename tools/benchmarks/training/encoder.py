"""The image encoder of ViT-B on one image of 1024 pixels in float32.

The peer is segment-anything with the same random weights. Equal means that embeddings of standard
deviation 1 differ by less than 1e-5. Peak memory is to be at most 0.8 of the peer's.
"""

import segment_anything
import torch
from torch import Tensor, nn

from sam_train.modeling.build import build_sam_vit_b
from sam_train.modeling.weights.loading import official_state_dict
from tools.benchmarks.comparison import Comparison

SIDE = 1024


def compare() -> list[Comparison]:
    """Against segment-anything with the same weights."""
    torch.manual_seed(0)
    sam = build_sam_vit_b()
    draw_positions(sam.image_encoder)
    peer = segment_anything.sam_model_registry["vit_b"]()
    peer.load_state_dict(official_state_dict(sam))
    image = torch.randn(1, 3, SIDE, SIDE)

    @torch.no_grad()
    def ours() -> Tensor:
        return sam.image_encoder(image)

    @torch.no_grad()
    def theirs() -> Tensor:
        return peer.image_encoder(image)

    difference = (ours() - theirs()).abs().max().item()
    return [
        Comparison("encoder", "segment-anything, ViT-B", ours, theirs,
                   equal=difference < 1e-5, n=1, target=1.2)
    ]  # fmt: skip


@torch.no_grad()
def draw_positions(encoder: nn.Module) -> None:
    """Random position tables; new ones are zero and would hide what they cost and mean."""
    for name, parameter in encoder.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            parameter.normal_(std=0.05)
