"""Automatic masks of a 1500 x 2250 image by ViT-B from the pixels on, 16 x 16 points.

Both networks hold the same random weights and run in full; what clicks are answered with is drawn
(`drawn_answers`). Equal means the same records. The peer is segment-anything.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import segment_anything
from torch import nn

from sam_train.inference.automatic_mask_generator import SamAutomaticMaskGenerator
from sam_train.modeling.build import build_sam_vit
from sam_train.modeling.weights.loading import official_state_dict
from tools.benchmarks.comparison import Comparison
from tools.benchmarks.drawing.drawn_answers import DrawnAnswers, HeardPrompts
from tools.benchmarks.drawing.drawn_photo import draw_photo

MASKS = 110


def compare() -> list[Comparison]:
    """Against segment-anything with the same weights."""
    sam, peer, image = drawn_models("vit_b")
    settings: dict[str, Any] = {
        "points_per_side": 16,
        "points_per_batch": 16,
        "output_mode": "coco_rle",
    }
    ours, theirs = generate_with(sam, peer, image, settings)
    return [
        Comparison("amg", "segment-anything, ViT-B", ours, theirs,
                   equal=ours() == theirs(), n=1, target=3.0)
    ]  # fmt: skip


def drawn_models(name: str) -> tuple[nn.Module, nn.Module, np.ndarray]:
    """Ours and the package's with the same weights, and the image that both answer about."""
    image, masks = draw_photo(MASKS)
    sam = build_sam_vit(name).eval()
    peer = segment_anything.sam_model_registry[name]().eval()
    peer.load_state_dict(official_state_dict(sam))
    for model in (sam, peer):
        answer_with(model, masks)
    return sam, peer, image


def generate_with(
    sam: nn.Module, peer: nn.Module, image: np.ndarray, settings: dict[str, Any]
) -> tuple[Callable[[], list[dict]], Callable[[], list[dict]]]:
    """The records of our generator and of the package's, each when it is called."""
    ours = SamAutomaticMaskGenerator(sam, **settings)
    theirs = segment_anything.SamAutomaticMaskGenerator(peer, **settings)
    return partial(ours.generate, image), partial(theirs.generate, image)


def answer_with(model: nn.Module, masks: list) -> None:
    """Lets the networks run, and answers with the masks."""
    prompts = HeardPrompts(model.prompt_encoder)
    model.mask_decoder = DrawnAnswers(masks, prompts, model.mask_decoder)
    model.prompt_encoder = prompts
