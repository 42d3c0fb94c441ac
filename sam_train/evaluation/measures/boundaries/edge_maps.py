"""Thin edges from masks or from grey values, as strengths between 0 and 1."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

Map = Float[np.ndarray, "H W"]

SMOOTH, SUPPRESS_BORDER, MARGIN = 4, 5, 1.01  # of Structured Forests (pdollar/edges, edgesNms)


def sobel_magnitude(values: Map) -> Map:
    """The length of the Sobel gradient (3 x 3, the border repeated)."""
    values = values.astype(np.float32)
    dx, dy = (
        cv2.Sobel(values, cv2.CV_32F, *order, ksize=3, borderType=cv2.BORDER_REPLICATE)
        for order in ((1, 0), (0, 1))
    )
    return np.hypot(dx, dy)


def outer_boundary(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The pixels outside a mask that touch it, also by a corner."""
    grown = cv2.dilate(mask.view(np.uint8), np.ones((3, 3), np.uint8))
    return (grown == 1) & ~mask


def normalised(strength: Map) -> Map:
    """The values stretched linearly to [0, 1]; a map without any difference is 0."""
    low, high = float(strength.min()), float(strength.max())
    return (strength - low) / (high - low) if high > low else np.zeros_like(strength)


def thin_edges(strength: Map) -> Map:
    """Keeps what is highest across the edge, and fades edges at the image's border.

    The direction comes from second derivatives of the smoothed map, and a pixel stays if it is
    1 % above its two neighbours across (Canny's rule as Structured Forests apply it, Dollar and
    Zitnick 2015).
    """
    strength = strength.astype(np.float32)
    dy, dx = np.gradient(_triangle_blur(strength))
    dxy, dxx = np.gradient(dx)
    dyy, _ = np.gradient(dy)
    across = np.mod(np.arctan(dyy * np.sign(-dxy) / (dxx + 1e-5)), np.pi)

    height, width = strength.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    kept = strength.copy()
    for step in (-1, 1):
        beside = cv2.remap(
            strength,
            (x + step * np.cos(across)).astype(np.float32),
            (y + step * np.sin(across)).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        kept[strength * MARGIN < beside] = 0
    return kept * _border_ramp(height)[:, None] * _border_ramp(width)


def grey_edges(image: UInt8[np.ndarray, "H W 3"], *, sigma: float) -> Map:
    """Thin edges of the grey values, smoothed by a Gaussian: Sobel's (0) and Canny's detector."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    if sigma > 0:
        grey = cv2.GaussianBlur(grey, (0, 0), sigma)
    return thin_edges(normalised(sobel_magnitude(grey)))


def _triangle_blur(strength: Map) -> Map:
    """A triangle filter of radius 4, the border mirrored."""
    ramp = np.arange(1, SMOOTH + 2, dtype=np.float32)
    kernel = np.concatenate([ramp, ramp[-2::-1]])
    kernel /= kernel.sum()
    return cv2.sepFilter2D(strength, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT)


def _border_ramp(length: int) -> Float[np.ndarray, " L"]:
    """0 at both ends, 1 from the sixth pixel on."""
    from_end = np.minimum(np.arange(length), np.arange(length)[::-1])
    return np.minimum(from_end / SUPPRESS_BORDER, 1).astype(np.float32)
