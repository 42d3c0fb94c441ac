"""Points and boxes drawn as maps, from which a model learns geometry within seconds.

SAM's prompts reach the image as tokens, and a decoder needs many thousand images to turn the
code of a corner into the half plane beside it. Interactive models that were trained on small
sets draw their clicks into the input instead (RITM, Sofiiuk et al. 2021). Here both are done:
the maps are a part of the dense prompt embedding, beside the mask prompt.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from sam_train.interaction.prompts import BACKGROUND, BOTTOM_RIGHT, FOREGROUND, TOP_LEFT

# Standard deviations of a click's Gaussians, in shares of the frame's side.
CLICK_WIDTHS = (1 / 64, 3 / 64, 1 / 8)
NUM_MAPS = 2 * len(CLICK_WIDTHS) + 3


class PromptMaps(nn.Module):
    """Embeds the drawn prompts of every cell of the image embedding."""

    def __init__(self, embed_dim: int, cell: int) -> None:
        """`cell` is the side of an embedding's cell on the grid of the maps."""
        super().__init__()
        self.hidden = nn.Conv2d(NUM_MAPS, embed_dim, kernel_size=cell, stride=cell)
        self.out = nn.Conv2d(embed_dim, embed_dim, kernel_size=1)

    def forward(self, maps: Float[Tensor, "N maps H W"]) -> Float[Tensor, "N C h w"]:
        return self.out(F.gelu(self.hidden(maps)))


def draw_prompts(
    coords: Float[Tensor, "N P 2"], labels: Int[Tensor, "N P"], side: int
) -> Float[Tensor, "N maps side side"]:
    """Draws (x, y) from 0 to 1 on a grid of `side` cells.

    Three maps for foreground clicks and three for background ones: Gaussians of three widths
    (1 at a click, 0 far from all). Then the box, from 1 in its centre over 0 on its edge to -1,
    and 0 without a box: as the ellipse in it, as its rectangle, and whether there is one.
    """
    coords = coords.float()
    centres = (torch.arange(side, device=coords.device) + 0.5) / side
    offset = centres - coords[..., None]  # (N, P, 2, side)
    clicks = []
    for label in (FOREGROUND, BACKGROUND):
        is_click = (labels == label)[..., None]
        for width in CLICK_WIDTHS:
            x, y = (-0.5 * (offset / width).square()).exp().unbind(2)
            near = (y * is_click)[..., :, None] * x[..., None, :]  # (N, P, side, side)
            clicks.append(1 - (1 - near).prod(1))
    return torch.stack([*clicks, *_draw_boxes(coords, labels, centres)], dim=1)


def _draw_boxes(
    coords: Float[Tensor, "N P 2"], labels: Int[Tensor, "N P"], centres: Float[Tensor, " side"]
) -> list[Float[Tensor, "N side side"]]:
    """The ellipse, the rectangle and the presence of each prompt's box."""
    corners = [labels == label for label in (TOP_LEFT, BOTTOM_RIGHT)]
    low, high = ((coords * is_corner[..., None]).sum(1) for is_corner in corners)  # (N, 2)
    has_box = corners[0].any(1)[:, None, None].to(coords.dtype)
    radius = ((high - low) / 2).clamp(min=0.5 / len(centres))
    square = ((centres - ((low + high) / 2)[..., None]) / radius[..., None]).square()
    x, y = square[:, 0, None, :], square[:, 1, :, None]
    ellipse, rectangle = ((1 - far).clamp(-1, 1) for far in (x + y, torch.maximum(x, y)))
    return [ellipse * has_box, rectangle * has_box, has_box.expand_as(ellipse)]
