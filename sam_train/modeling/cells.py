"""Finer maps folded into the cells of the image embedding, and back."""

from jaxtyping import Float
from torch import Tensor


def fold(x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N 4*C H//2 W//2"]:
    """Space to depth with the quarters of a cell before the channels, as the decoder lists them."""
    batch, channels, height, width = x.shape
    x = x.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(batch, 4 * channels, height // 2, width // 2)


def unfold(x: Float[Tensor, "N C h w"]) -> Float[Tensor, "N C//4 2*h 2*w"]:
    """The inverse of `fold`."""
    batch, channels, height, width = x.shape
    x = x.reshape(batch, 2, 2, channels // 4, height, width).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(batch, channels // 4, 2 * height, 2 * width)
