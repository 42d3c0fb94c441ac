"""Finer maps folded into the cells of the image embedding, and back."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def fold(x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N 4*C H//2 W//2"]:
    """Space to depth with the quarters of a cell before the channels, as the decoder lists them."""
    batch, channels, height, width = x.shape
    x = x.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(batch, 4 * channels, height // 2, width // 2)


def fold_twice(x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N 16*C H//4 W//4"]:
    """What `fold` gives when it is called again."""
    batch, channels, height, width = x.shape
    cells = F.pixel_unshuffle(x, 4).reshape(batch, channels, 2, 2, 2, 2, height * width // 16)
    cells = cells.permute(0, 2, 4, 3, 5, 1, 6)  # quarters (row, column), theirs, channels
    return cells.reshape(batch, 16 * channels, height // 4, width // 4)


def unfold_twice(x: Float[Tensor, "N C h w"]) -> Float[Tensor, "N C//16 4*h 4*w"]:
    """The inverse of `fold_twice`.

    Whole channels are put in order first, which copies blocks: a transposition that takes every
    cell apart is five times as slow in ONNX Runtime.
    """
    batch, channels, height, width = x.shape
    x = x.reshape(batch, 2, 2, 2, 2, channels // 16, height * width)
    x = x.permute(0, 5, 1, 3, 2, 4, 6)  # rows of quarters and of theirs, then columns
    return F.pixel_shuffle(x.reshape(batch, channels, height, width), 4)
