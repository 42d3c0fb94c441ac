"""Points and boxes drawn as maps, from which a model learns geometry within seconds.

SAM's prompts reach the image as tokens, and a decoder needs many thousand images to turn the
code of a corner into the half plane beside it. Interactive models that were trained on small
sets draw their clicks into the input instead (RITM, Sofiiuk et al. 2021). Here both are done:
the maps are a part of the dense prompt embedding, beside the mask prompt. And since one click
says little of a shape, maps also tell how much every pixel is like the clicked ones.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from sam_train.interaction.prompts import BACKGROUND, BOTTOM_RIGHT, FOREGROUND, TOP_LEFT
from sam_train.modeling.maps.cells import fold_twice

# Standard deviations of a click's Gaussians, in shares of the frame's side.
CLICK_WIDTHS = (1 / 64, 3 / 64, 1 / 8)
NUM_DRAWN = 2 * len(CLICK_WIDTHS) + 4
NUM_MAPS = NUM_DRAWN + 3
ELLIPSE, OUTSIDE_BOX = NUM_DRAWN - 4, NUM_DRAWN - 1  # the first and the last of a box's maps


class PromptMaps(nn.Module):
    """Embeds maps of prompts for the cells of the image embedding, and hands them on."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(NUM_MAPS, embed_dim, kernel_size=4, stride=4)
        self.out = nn.Conv2d(embed_dim, embed_dim, kernel_size=1)

    def forward(self, maps: Float[Tensor, "N maps H W"]) -> Float[Tensor, "N dense H//4 W//4"]:
        """The embedding in the first C channels, the maps themselves folded into the others."""
        return torch.cat([self.out(F.gelu(self.hidden(maps))), fold_twice(maps)], dim=1)


def compare_with_prompts(
    affinity: Float[Tensor, "#N E side side"],
    coords: Float[Tensor, "N P 2"],
    labels: Int[Tensor, "N P"],
    ellipse: Float[Tensor, "N side side"],
) -> Float[Tensor, "N 3 side side"]:
    """The cosine of each pixel's affinity with the likest foreground click, the likest background
    click and the mean of the box's `ellipse`; 0 where there is none. (x, y) are from 0 to 1.
    """
    count = len(labels)
    side = affinity.shape[-1]
    pixels = affinity.expand(count, -1, -1, -1).flatten(2)  # (N, E, side * side)
    cells = (coords * side).long().clamp(0, side - 1)
    index = (cells[..., 1] * side + cells[..., 0])[:, None].expand(-1, pixels.shape[1], -1)
    clicked = pixels.gather(2, index)  # (N, E, P)
    boxed = pixels @ ellipse.clamp(min=0).flatten(1)[..., None].to(pixels.dtype)
    boxed = F.normalize(boxed.float(), dim=1).to(pixels.dtype)
    cosines = torch.cat([clicked, boxed], dim=2).transpose(1, 2) @ pixels
    cosines = cosines.unflatten(2, (side, side)).float()
    maps = [_likest(cosines[:, :-1], labels == label) for label in (FOREGROUND, BACKGROUND)]
    return torch.stack([*maps, cosines[:, -1]], dim=1)


def _likest(
    cosines: Float[Tensor, "N P H W"], is_kind: Bool[Tensor, "N P"]
) -> Float[Tensor, "N H W"]:
    if not cosines.shape[1]:
        return cosines.new_zeros(len(cosines), *cosines.shape[2:])
    likest = cosines.masked_fill(~is_kind[..., None, None], -1.0).amax(1)
    return likest * is_kind.any(1)[:, None, None]


def draw_prompts(
    coords: Float[Tensor, "N P 2"], labels: Int[Tensor, "N P"], side: int, *, tight: bool
) -> Float[Tensor, "N maps side side"]:
    """Draws (x, y) from 0 to 1 on a grid of `side` cells.

    Three maps for foreground clicks and three for background ones: Gaussians of three widths
    (1 at a click, 0 far from all). Then the box, from 1 in its centre over 0 on its edge to -1,
    and 0 without a box: as the ellipse in it, as its rectangle, and whether there is one. Last,
    what lies outside the box, which rises from 0 to 1 within a cell: from its edge on, since the
    boxes of training are noisy and masks go beyond them; if `tight`, around its edge, so that
    masks end there when they are enlarged between the cells.
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
    return torch.stack([*clicks, *_draw_boxes(coords, labels, centres, tight)], dim=1)


def _draw_boxes(
    coords: Float[Tensor, "N P 2"],
    labels: Int[Tensor, "N P"],
    centres: Float[Tensor, " side"],
    tight: bool,
) -> list[Float[Tensor, "N side side"]]:
    """The ellipse, the rectangle, the presence and the outside of each prompt's box."""
    corners = [labels == label for label in (TOP_LEFT, BOTTOM_RIGHT)]
    low, high = ((coords * is_corner[..., None]).sum(1) for is_corner in corners)  # (N, 2)
    has_box = corners[0].any(1)[:, None, None].to(coords.dtype)
    radius = ((high - low) / 2).clamp(min=0.5 / len(centres))
    distance = (centres - ((low + high) / 2)[..., None]).abs()
    x, y = _along_axes((distance / radius[..., None]).square())
    ellipse, rectangle = ((1 - far).clamp(-1, 1) for far in (x + y, torch.maximum(x, y)))
    within = 0.5 * tight  # cells; even the smallest box leaves one free
    edge = radius.clamp(min=(0.5 + within) / len(centres))
    beyond = _along_axes((distance - edge[..., None]) * len(centres))  # in cells
    outside = (torch.maximum(*beyond) + within).clamp(0, 1)
    return [map * has_box for map in (ellipse, rectangle, torch.ones_like(ellipse), outside)]


def _along_axes(
    far: Float[Tensor, "N 2 side"],
) -> tuple[Float[Tensor, "N 1 side"], Float[Tensor, "N side 1"]]:
    return far[:, 0, None, :], far[:, 1, :, None]
