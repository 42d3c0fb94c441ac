"""Automatic masks of a 1500 x 2250 image after the decoder, 16 x 16 points.

Equal means the same records: run lengths, boxes, scores, points, in the same order. Image encoder
and decoder cost nothing here: the answers to all clicks are drawn (`drawn_answers`). The peer is
segment-anything's generator.
"""

from typing import Any

import segment_anything
import torch
from torch import Tensor, nn

from sam_train.modeling.sam import Sam
from tools.benchmarks.comparison import Comparison
from tools.benchmarks.drawing.drawn_answers import IMAGE_SIDE, DrawnAnswers, HeardPrompts
from tools.benchmarks.drawing.drawn_photo import draw_photo
from tools.benchmarks.inference.amg import MASKS, generate_with


class NoEncoder(nn.Module):
    """An image encoder that does not look."""

    img_size = IMAGE_SIDE

    def forward(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), 1, 1, 1)


def compare() -> list[Comparison]:
    """Against segment-anything on the same answers."""
    image, masks = draw_photo(MASKS)
    prompts = HeardPrompts()
    parts: Any = (NoEncoder(), prompts, DrawnAnswers(masks, prompts))
    settings: dict[str, Any] = {"points_per_side": 16, "output_mode": "coco_rle"}
    peer = segment_anything.modeling.Sam(*parts).eval()
    ours, theirs = generate_with(Sam(*parts).eval(), peer, image, settings)
    return [
        Comparison("amg_post", "segment-anything", ours, theirs,
                   equal=ours() == theirs(), n=1, target=20.0)
    ]  # fmt: skip
