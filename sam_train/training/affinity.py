"""Teaches which pixels share their masks, so that a click can be compared with every pixel.

The masks of single clicks give an image encoder little to learn from as long as the decoder does
not read the image; pairs of pixels do at once (Ahn and Kwak, CVPR 2018, name them affinities).
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from sam_train.data.stream.collate import Batch
from sam_train.interaction.draws import mix_seeds
from sam_train.interaction.masks import sizes_on_grid

NUM_PIXELS = 300  # of an image; all their pairs are compared
REACH = 1 / 4  # standard deviation of a pair's weight by its distance, in shares of the frame
# A cosine of 0.25 leaves it open whether two pixels belong together, 1 says e^6 to 1 that they do.
SCALE, OFFSET = 8.0, -2.0


def affinity_losses(
    affinity: Float[Tensor, "B E side side"], batch: Batch, *, image_size: int, step: int
) -> Float[Tensor, " B"]:
    """`affinity_loss` of each image, 0 for one without masks."""
    sizes = sizes_on_grid(batch["input_sizes"], image_size=image_size, side=affinity.shape[-1])
    losses = []
    for number, features in enumerate(affinity):
        mine = batch["image_index"] == number
        seeds = mix_seeds(batch["object_seeds"][mine], step)
        losses.append(
            affinity_loss(features, batch["gt_masks"][mine], sizes[number], seed=int(seeds[0]))
            if len(seeds)
            else features.sum() * 0
        )
    return torch.stack(losses)


def affinity_loss(
    features: Float[Tensor, "E side side"],
    gt_masks: Bool[Tensor, "N H W"],
    size: Int[Tensor, "2"],
    *,
    seed: int,
) -> Float[Tensor, ""]:
    """`pair_loss` on pixels drawn within the (H, W) `size` that one image takes of its features.

    The masks may be finer or coarser; each pixel has the cell of theirs under its centre.
    """
    side = features.shape[-1]
    draw = torch.rand(2, NUM_PIXELS, generator=torch.Generator().manual_seed(seed))
    pixels = (draw.to(features.device) * size[:, None]).long()
    cells = ((pixels + 0.5) * (gt_masks.shape[-1] / side)).long()
    (y, x), (row, column) = pixels, cells
    return pair_loss(features[:, y, x].float(), gt_masks[:, row, column], pixels / side)


def pair_loss(
    features: Float[Tensor, "E K"], members: Bool[Tensor, "M K"], shares: Float[Tensor, "2 K"]
) -> Float[Tensor, ""]:
    """The cross entropy of whether two pixels belong together, told from their features' cosine.

    They belong together by the share, among the masks with either of the two, of those with both;
    pairs that are in no mask take no part. Near pairs weigh more (`shares` are positions from 0
    to 1). Pairs that belong together and pairs that do not weigh the same in sum.
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
