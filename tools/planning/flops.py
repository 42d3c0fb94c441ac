"""The work and the weights of SAM by formula, from the sizes that its builder has.

A product is one multiplication and addition, two FLOPs. The encoder is ViTDet's (arXiv 2203.16527)
as SAM, App. A, has it: blocks with windows of 14 x 14, four with attention over the whole image,
relative positions in all. Backward is twice forward (Kaplan et al., arXiv 2001.08361, sec. 2.1).
"""

import ast
from dataclasses import dataclass
from typing import Any

from sam_train.settings.source import find

PATCH, WINDOW, NECK = 16, 14, 256
PROMPT_ENCODER_WEIGHTS = 6_220
DECODER_WEIGHTS, DECODER_LAYER_WEIGHTS = 4_058_340, 1_579_520  # of two layers; of one more
# Of a prompt among 64 in a decoder of two layers: of its own, for each point, and of upscaling.
DECODER_PRODUCTS, POINT_PRODUCTS, UPSCALING_PRODUCTS = 830e6, 63.5e6, 411e6


@dataclass(frozen=True)
class Vit:
    """The sizes of a ViT-B, L or H encoder for a square input frame."""

    width: int
    depth: int
    heads: int
    global_blocks: int
    image_size: int

    @property
    def side(self) -> int:
        """Tokens a side."""
        return self.image_size // PATCH

    @property
    def padded(self) -> int:
        """Tokens a side, filled up to whole windows."""
        return -(-self.side // WINDOW) * WINDOW

    def products(self) -> int:
        """Of one image, forward."""
        tokens, padded, width = self.side**2, self.padded**2, self.width
        windowed = attention_products(padded, WINDOW, width)
        whole = attention_products(tokens, self.side, width)
        mlps = self.depth * 8 * tokens * width**2
        blocks = (self.depth - self.global_blocks) * windowed + self.global_blocks * whole + mlps
        embedding = tokens * 3 * PATCH**2 * width
        neck = tokens * (width * NECK + 9 * NECK**2)
        return blocks + embedding + neck

    def weights(self) -> int:
        """The encoder's parameters, exactly."""
        width, head = self.width, self.width // self.heads
        block = 12 * width**2 + 13 * width
        windowed, whole = (2 * (2 * side - 1) * head for side in (WINDOW, self.side))
        positions = (self.depth - self.global_blocks) * windowed + self.global_blocks * whole
        embedding = self.side**2 * width + (3 * PATCH**2 + 1) * width
        neck = width * NECK + 9 * NECK**2 + 4 * NECK
        return self.depth * block + positions + embedding + neck


def attention_products(tokens: int, side: int, width: int) -> int:
    """Projections, scores, sums, relative positions; each token sees `side` x `side` others."""
    return tokens * (4 * width**2 + 2 * side**2 * width + 2 * side * width)


def vit_of(model: dict[str, Any]) -> Vit:
    """The encoder that a model's config builds; ValueError for one that is no SAM ViT."""
    size = model.get("size")
    found = find("sam_train.modeling.build.VIT_SIZES")
    assert found is not None
    sizes = ast.literal_eval(found.node)  # the builder's own, without loading torch
    if size not in sizes:
        raise ValueError(
            f"the plan's formulas are for {', '.join(sizes)}, not for {model['_target_']}: choose "
            f"model=vit_b, or time a short run"
        )
    width, depth, heads, global_blocks = sizes[size]
    return Vit(width, depth, heads, len(global_blocks), model["image_size"])


def decoder_products(layers: int, points: float) -> float:
    """Of one prompt of so many points, forward; a box is two."""
    of_two = DECODER_PRODUCTS + points * POINT_PRODUCTS - UPSCALING_PRODUCTS
    of_layers = of_two / 2.5  # its last attention is half a layer
    return UPSCALING_PRODUCTS + of_layers * (layers + 0.5)


def sam_weights(vit: Vit, layers: int) -> int:
    decoder = DECODER_WEIGHTS + (layers - 2) * DECODER_LAYER_WEIGHTS
    return vit.weights() + PROMPT_ENCODER_WEIGHTS + decoder


def image_flops(vit: Vit, *, layers: int, prompts: float, points: float, recomputed: bool) -> float:
    """Of one image in training: `prompts` are masks times rounds, `points` those of each."""
    passes = 4 if recomputed else 3  # forward, twice that backward, forward again
    return 2 * (passes * vit.products() + 3 * prompts * decoder_products(layers, points))
