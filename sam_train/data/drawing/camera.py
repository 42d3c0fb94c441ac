"""How a camera, microscope or scanner sees a painted scene: light, lens, sensor and file."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from sam_train.data.drawing.textures import cloud

COLOUR_MAPS = (cv2.COLORMAP_JET, cv2.COLORMAP_HOT, cv2.COLORMAP_VIRIDIS, cv2.COLORMAP_BONE)


def photograph(
    painting: Float[np.ndarray, "3 H W"], rng: np.random.Generator, *, grey: bool
) -> UInt8[np.ndarray, "H W 3"]:
    """Returns the painting (0..1) as a camera's file would hold it."""
    painting = lit(painting, rng)
    if grey:
        painting = painting.mean(0, keepdims=True)
    image = blurred(cv2.merge(list(painting)), rng).reshape(*painting.shape[1:], -1)
    image = noisy(image, rng, speckle=grey and rng.random() < 0.3)
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    if grey:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
        if rng.random() < 0.15:
            pixels = cv2.applyColorMap(pixels, COLOUR_MAPS[rng.integers(len(COLOUR_MAPS))])
    if rng.random() < 0.35:
        pixels = compressed(pixels, quality=int(rng.integers(25, 90)))
    return np.ascontiguousarray(pixels)


def lit(
    painting: Float[np.ndarray, "3 H W"], rng: np.random.Generator
) -> Float[np.ndarray, "3 H W"]:
    """Applies uneven light, an exposure that mostly fills the range, a cast and a tone curve."""
    fall = 1 + cloud(rng, (16, 16), roughness=0.2) * np.float32(rng.uniform(0, 0.15))
    image = painting * cv2.resize(fall, painting.shape[:0:-1], interpolation=cv2.INTER_CUBIC)

    low, high = np.quantile(image[:, ::4, ::4], (0.02, 0.98))
    black, white = rng.uniform(0, 0.12), rng.uniform(0.75, 1.05)
    if rng.random() < 0.2:  # flat light or haze
        black, white = rng.uniform(0.1, 0.4), rng.uniform(0.45, 0.8)
    image -= np.float32(low)
    gain = (white - black) / (high - low + 0.05) * rng.normal(1, 0.05, (3, 1, 1))
    image *= gain.astype(np.float32)
    image += np.float32(black)
    np.clip(image, 0, 1, out=image)
    return image + np.float32(rng.uniform(-0.5, 0.6)) * image * (1 - image)


def blurred(
    image: Float[np.ndarray, "H W *channels"], rng: np.random.Generator
) -> Float[np.ndarray, "H W *channels"]:
    """Applies defocus, motion or a low resolution, in proportion to the image's size."""
    height, width = image.shape[:2]
    unit = min(height, width) / 256
    kind = rng.choice(["sharp", "defocus", "motion", "coarse"], p=[0.5, 0.34, 0.08, 0.08])
    if kind == "defocus":
        return cv2.GaussianBlur(image, (0, 0), unit * rng.uniform(0.3, 1.3))
    if kind == "motion":
        length = max(3, round(unit * rng.uniform(3, 7))) | 1
        kernel = np.zeros((length, length), np.float32)
        reach = length // 2 * np.array([np.cos(angle := rng.uniform(0, np.pi)), np.sin(angle)])
        ends = [tuple(np.rint(length // 2 + side * reach).astype(int).tolist()) for side in (-1, 1)]
        cv2.line(kernel, *ends, 1.0)
        return cv2.filter2D(image, -1, kernel / kernel.sum())
    if kind == "coarse":
        share = rng.uniform(0.35, 0.7)
        small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return image


def noisy(
    image: Float[np.ndarray, "H W _"], rng: np.random.Generator, *, speckle: bool
) -> Float[np.ndarray, "H W _"]:
    """Adds sensor noise, or the noise in proportion to brightness of ultrasound and radar."""
    noise = rng.random(image.shape, dtype=np.float32) - rng.random(image.shape, dtype=np.float32)
    if speckle:
        soft = cv2.blur(noise, (2, 2)).reshape(image.shape)
        return image * (1 + np.float32(rng.uniform(0.1, 1.0)) * soft)
    return image + np.float32(min(rng.exponential(0.04), 0.2)) * noise


def compressed(pixels: UInt8[np.ndarray, "H W 3"], *, quality: int) -> UInt8[np.ndarray, "H W 3"]:
    """Returns the pixels after a pass through JPEG."""
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)
