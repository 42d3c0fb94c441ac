"""The input of the training benchmarks: true masks, and what a decoder makes of them."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from sam_train.data.rle import encode_mask, resize_rles
from tools.benchmarks.drawing.drawn_photo import draw_photo

CELLS = 8  # of the slow noise, along a side
SHIFT = 0.01  # how far it moves outlines, in shares of the frame


def draw_masks(count: int, side: int) -> Bool[Tensor, "N side side"]:
    """Masks of a drawn photo on the grid of a training step."""
    rles = [encode_mask(mask) for mask in draw_photo(count)[1]]
    return torch.from_numpy(resize_rles(rles, (side, side))).bool()


def draw_logits(
    gt_masks: Bool[Tensor, "N side side"], candidates: int = 1
) -> Float[Tensor, "N M side side"]:
    """Logits of a half-trained decoder: the masks with soft edges, bent and shifted by slow noise.

    A pixel's own noise adds specks near the outlines.
    """
    generator = torch.Generator().manual_seed(0)
    count, side, _ = gt_masks.shape
    noise = torch.randn(count * candidates, 2, CELLS, CELLS, generator=generator)
    bend = F.interpolate(noise, (side, side), mode="bicubic").permute(0, 2, 3, 1)
    straight = F.affine_grid(torch.eye(2, 3)[None], [1, 1, side, side], align_corners=False)
    soft = F.avg_pool2d(gt_masks[:, None].float(), side // 128 + 1, stride=1, padding=side // 256)
    soft = soft.repeat_interleave(candidates, dim=0)
    bent = F.grid_sample(soft, straight + 2 * SHIFT * bend, align_corners=False)
    specks = torch.randn(bent.shape, generator=generator)
    return (16 * bent - 8 + specks).reshape(count, candidates, side, side)
