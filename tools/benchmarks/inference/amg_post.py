"""Automatic masks of a 1500 x 2250 image after the decoder, 16 x 16 points.

Equal means the same records: run lengths, boxes, scores, points, in the same order. Image encoder
and decoder cost nothing here: the answers to all clicks are drawn (`drawn_answers`). The peer is
segment-anything's generator.
"""

from typing import Any

import segment_anything
import torch
from torch import Tensor, nn

from sam_train.inference.automatic_mask_generator import SamAutomaticMaskGenerator
from sam_train.modeling.sam import Sam
from tools.benchmarks.comparison import Comparison
from tools.benchmarks.drawing.drawn_answers import IMAGE_SIDE, DrawnAnswers, HeardPrompts
from tools.benchmarks.drawing.drawn_photo import draw_photo

MASKS = 110


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
    ours = SamAutomaticMaskGenerator(Sam(*parts).eval(), **settings)
    peer = segment_anything.modeling.Sam(*parts).eval()
    official = segment_anything.SamAutomaticMaskGenerator(peer, **settings)

    def of_ours() -> list[dict]:
        return ours.generate(image)

    def of_segment_anything() -> list[dict]:
        return official.generate(image)

    return [
        Comparison("amg_post", "segment-anything", of_ours, of_segment_anything,
                   equal=of_ours() == of_segment_anything(), n=1, target=20.0)
    ]  # fmt: skip
