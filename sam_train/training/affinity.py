"""Teaches which pixels share their masks, so that a click can be compared with every pixel.

The masks of single clicks give an image encoder little to learn from as long as the decoder does
not read the image; pairs of pixels do at once (Ahn and Kwak, CVPR 2018, name them affinities).
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

NUM_PIXELS = 300
REACH = 1 / 4  # standard deviation of a pair's weight by its distance, in shares of the frame
# A cosine of 0.25 leaves it open whether two pixels belong together, 1 says e^6 to 1 that they do.
SCALE, OFFSET = 8.0, -2.0


def affinity_loss(
    affinity: Float[Tensor, "B E side side"],
    gt_masks: Bool[Tensor, "N side side"],
    image_index: Int[Tensor, " N"],
    sizes: Int[Tensor, "B 2"],
    *,
    seed: int,
) -> Float[Tensor, ""]:
    """The mean of `pair_loss` over images, on pixels drawn within their (H, W) `sizes`."""
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for image, features in enumerate(affinity):
        draw = torch.rand(2, NUM_PIXELS, generator=generator).to(affinity.device)
        y, x = (draw * sizes[image][:, None]).long()
        members = gt_masks[image_index == image][:, y, x]
        shares = torch.stack([y, x]) / affinity.shape[-1]
        losses.append(pair_loss(features[:, y, x].float(), members, shares))
    return torch.stack(losses).mean()


def pair_loss(
    features: Float[Tensor, "E K"], members: Bool[Tensor, "M K"], shares: Float[Tensor, "2 K"]
) -> Float[Tensor, ""]:
    """The cross entropy of whether two of K pixels belong together by their features' cosine.

    They do by the share of the masks with either that have both; pairs without any mask take no
    part. Near pairs weigh more (`shares` are positions from 0 to 1); all pairs together weigh as
    much as all apart.
    """
    inside = members.float()
    both = inside.T @ inside  # (K, K)
    either = inside.sum(0)[:, None] + inside.sum(0) - both
    together = both / either.clamp(min=1)
    far = (shares[:, :, None] - shares[:, None]).square().sum(0)
    weight = (either > 0) * torch.exp(-0.5 * far / REACH**2)
    logits = SCALE * (features.T @ features) + OFFSET
    losses = F.binary_cross_entropy_with_logits(logits, together, reduction="none")
    balance = sum(
        kind / kind.sum().clamp(min=1) for kind in (weight * together, weight * (1 - together))
    )
    return (losses * balance).sum() / 2
