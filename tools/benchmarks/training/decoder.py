"""Prompt encoder and mask decoder of ViT-B for 64 single clicks on one image of 1024 pixels.

The peer is segment-anything with the same random weights. Equal means that logits and predicted
IoU differ by less than 1e-4, and gradients by less than 1e-4 of the largest. In the second row
every click has a mask prompt, so that the image's projections cannot be shared; in the third both
learn, forward and backward, from 8 clicks.
"""

from functools import partial

import segment_anything
import torch
from torch import Tensor, nn

from sam_train.modeling.build import build_sam_vit_b
from sam_train.modeling.weights.loading import official_state_dict
from tools.benchmarks.comparison import Comparison

Outputs = tuple[Tensor, ...]


def compare() -> list[Comparison]:
    """Clicks, clicks with masks, and learning from clicks."""
    torch.manual_seed(0)
    sam = build_sam_vit_b()
    peer = segment_anything.sam_model_registry["vit_b"]()
    peer.load_state_dict(official_state_dict(sam))
    embedding = torch.randn(1, 256, 64, 64)

    def comparison(name: str, clicks: int, *, has_masks: bool, learns: bool) -> Comparison:
        coords, labels = 1024 * torch.rand(clicks, 1, 2), torch.ones(clicks, 1, dtype=torch.int)
        masks = torch.randn(clicks, 1, 256, 256) if has_masks else None
        run = learn if learns else predict
        ours, theirs = (
            partial(run, model, embedding, coords, labels, masks) for model in (sam, peer)
        )
        pairs = zip(ours(), theirs(), strict=True)
        return Comparison(
            f"decoder{name}",
            "segment-anything",
            ours,
            theirs,
            equal=all(is_near(one, other) for one, other in pairs),
            n=clicks,
            target=None if name else 1.7,
        )

    return [
        comparison("", 64, has_masks=False, learns=False),
        comparison(", with masks", 64, has_masks=True, learns=False),
        comparison(", learning", 8, has_masks=False, learns=True),
    ]


def is_near(one: Tensor, other: Tensor) -> bool:
    """Whether two results differ by less than 1e-4, and by less than that of the largest."""
    return (one - other).abs().max().item() < 1e-4 * min(other.abs().max().item(), 1.0)


def decode(
    model: nn.Module, embedding: Tensor, coords: Tensor, labels: Tensor, masks: Tensor | None
) -> Outputs:
    """Three masks for every click and their predicted IoU."""
    sparse, dense = model.prompt_encoder(points=(coords, labels), boxes=None, masks=masks)
    return model.mask_decoder(
        image_embeddings=embedding,
        image_pe=model.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
    )


@torch.no_grad()
def predict(model: nn.Module, embedding: Tensor, *prompts: Tensor | None) -> Outputs:
    return decode(model, embedding, *prompts)


def learn(model: nn.Module, embedding: Tensor, *prompts: Tensor | None) -> Outputs:
    """The answers, and the gradient of their squares on the image's embedding."""
    embedding = embedding.clone().requires_grad_()
    logits, iou_pred = decode(model, embedding, *prompts)
    loss = logits.square().mean() + iou_pred.square().mean()
    loss.backward()
    return logits.detach(), iou_pred.detach(), embedding.grad
