"""How a camera, microscope or scanner sees a painted scene: light, lens, sensor and file."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from sam_train.data.drawing.textures import cloud


def photograph(
    image: Float[np.ndarray, "H W 3"], rng: np.random.Generator, *, grey: bool
) -> UInt8[np.ndarray, "H W 3"]:
    """Returns the painted image (0..1) as a camera file would hold it."""
    image = lit(image, rng)
    if grey:
        image = np.repeat(image.mean(2, keepdims=True), 3, axis=2)
    image = blurred(image, rng)
    image = noisy(image, rng, grey=grey)
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    if grey and rng.random() < 0.15:
        colour_map = [cv2.COLORMAP_JET, cv2.COLORMAP_HOT, cv2.COLORMAP_VIRIDIS, cv2.COLORMAP_BONE]
        pixels = cv2.applyColorMap(pixels, colour_map[rng.integers(4)])[..., ::-1]
    if rng.random() < 0.35:
        pixels = compressed(pixels, quality=int(rng.integers(25, 90)))
    return np.ascontiguousarray(pixels)


def lit(image: Float[np.ndarray, "H W 3"], rng: np.random.Generator) -> Float[np.ndarray, "H W 3"]:
    """Applies uneven light, a colour cast, haze and a tone curve."""
    size = image.shape[:2]
    fall = cloud(rng, (16, 16), roughness=0.2) * rng.uniform(0, 0.15) + rng.uniform(0.8, 1.15)
    image = image * cv2.resize(fall.astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)[..., None]
    image *= rng.normal(1, 0.06, 3).astype(np.float32)
    haze = np.float32(rng.choice([0.0, rng.uniform(0, 0.45)]))
    image += haze * (np.float32(rng.uniform(0.1, 0.9)) - image)
    np.clip(image, 0, 1, out=image)
    return cv2.pow(image, float(np.exp(rng.normal(0, 0.25))))


def blurred(image: Float[np.ndarray, "H W 3"], rng: np.random.Generator) -> Float[np.ndarray, "H W 3"]:
    """Applies defocus, motion or a low resolution, in proportion to the image's size."""
    height, width = image.shape[:2]
    unit = min(height, width) / 256
    kind = rng.choice(["sharp", "defocus", "motion", "coarse"], p=[0.35, 0.45, 0.1, 0.1])
    if kind == "defocus":
        return cv2.GaussianBlur(image, (0, 0), unit * rng.uniform(0.4, 1.6))
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
    image: Float[np.ndarray, "H W 3"], rng: np.random.Generator, *, grey: bool
) -> Float[np.ndarray, "H W 3"]:
    """Adds sensor noise; grey images may have the multiplicative speckle of ultrasound and radar."""
    noise = rng.standard_normal((*image.shape[:2], 1 if grey else 3), dtype=np.float32)
    if grey and rng.random() < 0.3:
        return image * (1 + np.float32(rng.uniform(0.05, 0.4)) * cv2.blur(noise, (2, 2))[..., None])
    return image + np.float32(rng.exponential(0.02)) * noise


def compressed(pixels: UInt8[np.ndarray, "H W 3"], *, quality: int) -> UInt8[np.ndarray, "H W 3"]:
    """Returns the pixels after a pass through JPEG."""
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)
