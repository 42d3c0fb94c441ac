"""What a mask itself tells of its quality, as a second opinion on its predicted IoU."""

from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sam_train.modeling.layers import MLP

RING = 2  # cells around a mask in which its surroundings are looked at
HIDDEN_DIM = 64


class MaskQuality(nn.Module):
    """Corrects the predicted IoU of each candidate by statistics of its mask.

    SAM's head sees one token and has to learn from it how good four masks are; trained on a
    few thousand images it answers with their mean. How sharp a mask is, its size, and how the
    prompts' maps differ inside it and around it say more from the start.
    """

    def __init__(self, num_maps: int) -> None:
        super().__init__()
        self.mlp = MLP(3 + 2 * num_maps, HIDDEN_DIM, output_dim=1, num_layers=3)

    def forward(
        self, logits: Float[Tensor, "N M H W"], maps: Float[Tensor, "N maps H W"]
    ) -> Float[Tensor, "N M"]:
        """What to add to the predicted IoU. No gradient reaches the masks."""
        return self.mlp(mask_statistics(logits.detach().float(), maps.detach().float()))[..., 0]


@torch.no_grad()
def mask_statistics(
    logits: Float[Tensor, "N M H W"], maps: Float[Tensor, "N maps H W"]
) -> Float[Tensor, "N M S"]:
    """Sharpness, stability, logarithm of the area; means of the maps inside and around.

    Sharpness is the IoU to expect if the probabilities are right; stability is the IoU between
    the masks at logits 1 and -1 (SAM, App. B). Empty masks have 0 everywhere but in the area.
    """
    prob, inside = logits.sigmoid(), (logits > 0).float()
    around = grown(inside, RING) - inside
    area = inside.sum((-2, -1))
    either = torch.maximum(prob, inside).sum((-2, -1)).clamp(min=1)
    sharpness = (prob * inside).sum((-2, -1)) / either
    stability = (logits > 1).sum((-2, -1)) / (logits > -1).sum((-2, -1)).clamp(min=1)
    log_area = (area + 1).log() / 8  # 0 to about 1, as the others
    means = [
        torch.einsum("nmhw,nkhw->nmk", part, maps) / part.sum((-2, -1))[..., None].clamp(min=1)
        for part in (inside, around)
    ]
    return torch.cat([torch.stack([sharpness, stability, log_area], -1), *means], dim=-1)


def grown(masks: Float[Tensor, "N M H W"], radius: int) -> Float[Tensor, "N M H W"]:
    """The largest value in the square around each cell: `max_pool2d`, which also notes the places
    of the maxima and takes 14 times as long on a CPU."""
    height, width = masks.shape[-2:]
    padded, shifts = F.pad(masks, [radius] * 4), range(2 * radius + 1)
    rows = reduce(torch.maximum, (padded[..., i : i + width] for i in shifts))
    return reduce(torch.maximum, (rows[..., i : i + height, :] for i in shifts))
