"""Random changes of brightness, contrast, saturation and hue."""

import numpy as np
from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional as F

MAX_HUE = 0.1  # of the colour circle, at full strength


def jitter_colors(
    image: UInt8[Tensor, "3 H W"], rng: np.random.Generator, *, strength: float
) -> UInt8[Tensor, "3 H W"]:
    """Scales brightness, contrast and saturation by 1 +- `strength` (0 to 1); turns the hue."""
    brightness, contrast, saturation = rng.uniform(1 - strength, 1 + strength, 3).tolist()
    image = F.adjust_brightness(image, brightness)
    image = F.adjust_contrast(image, contrast)
    image = F.adjust_saturation(image, saturation)
    return F.adjust_hue(image, float(rng.uniform(-MAX_HUE, MAX_HUE)) * strength)
