"""What surfaces look like: colours, patterns over them, and their shading by light."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from sam_train.data.drawing.outlines import Window

PATTERNS = ("plain", "cloud", "patches", "stripes", "wood", "checks", "spots", "bricks", "marble", "grain")


def cloud(rng: np.random.Generator, size: tuple[int, int], *, roughness: float) -> Float[np.ndarray, "H W"]:
    """Returns 1/f-like noise with zero mean and unit deviation: octaves of random grids, smoothly enlarged.

    Each octave weighs `roughness` times the one before.
    """
    total = np.zeros(size, np.float32)
    cells, weight = 3, 1.0
    while cells < max(size):
        grid = rng.standard_normal((cells, cells), dtype=np.float32)
        total += weight * cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC)
        cells, weight = cells * 2, weight * roughness
    return (total - total.mean()) / total.std()


@dataclass(frozen=True)
class Material:
    """A colour, a second one that a pattern mixes in, and how light falls on it."""

    colour: Float[np.ndarray, "3"]
    accent: Float[np.ndarray, "3"]
    pattern: str
    period: float  # of the pattern, in pixels
    sharpness: float
    strength: float  # share of the accent where the pattern is strongest
    mottle: float  # brightness noise that every surface has
    relief: float  # light and shade along the rim
    ramp: float  # change of brightness from side to side
    gloss: float  # height of the highlight


def random_material(
    rng: np.random.Generator, colours: Float[np.ndarray, "k 3"], *, period: float
) -> Material:
    """Draws a material whose colours lie near two of the given ones."""
    colour, accent = colours[rng.integers(len(colours), size=2)] + rng.normal(0, 0.06, (2, 3))
    return Material(
        colour=colour,
        accent=accent,
        pattern=str(rng.choice(PATTERNS)),
        period=period * rng.uniform(0.5, 2),
        sharpness=rng.uniform(0.5, 6),
        strength=rng.uniform(0.05, 0.7) ** 1.5,
        mottle=rng.uniform(0.0, 0.08),
        relief=rng.choice([0.0, rng.uniform(0.1, 0.6)]),
        ramp=rng.normal(0, 0.12),
        gloss=rng.choice([0.0, 0.0, rng.uniform(0.1, 0.5)]),
    )


def related(material: Material, parent: Material, kinship: float) -> Material:
    """Returns the material with its colours drawn towards the parent's; close kin share the pattern."""
    mixed = replace(
        material,
        colour=kinship * parent.colour + (1 - kinship) * material.colour,
        accent=kinship * parent.accent + (1 - kinship) * material.accent,
    )
    if kinship < 0.75:
        return mixed
    return replace(mixed, pattern=parent.pattern, period=parent.period, strength=parent.strength)


def pattern_field(
    material: Material, noise: Float[np.ndarray, "h w"], rng: np.random.Generator
) -> Float[np.ndarray, "h w"]:
    """Returns the pattern in -1..1 over a window; `noise` bends it."""
    height, width = noise.shape
    angle, phase = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi, 2)
    if material.pattern in ("checks", "bricks"):
        angle *= 0.05
    turn = 2 * np.pi / material.period * np.array([np.cos(angle), np.sin(angle)])
    y, x = np.ogrid[0:height, 0:width]
    u = (turn[0] * x + turn[1] * y + phase[0]).astype(np.float32)
    v = (turn[0] * y - turn[1] * x + phase[1]).astype(np.float32)
    wave = _WAVES[material.pattern](u, v, noise, rng)
    return np.tanh(material.sharpness * wave)


_WAVES = {
    "plain": lambda u, v, noise, rng: np.zeros_like(noise),
    "cloud": lambda u, v, noise, rng: noise * 0.5,
    "patches": lambda u, v, noise, rng: noise * 4 - 1,
    "stripes": lambda u, v, noise, rng: np.sin(u + 0.3 * noise),
    "wood": lambda u, v, noise, rng: np.sin(u * 1.5 + 2.5 * noise),
    "checks": lambda u, v, noise, rng: np.sin(u) * np.sin(v) * 3,
    "spots": lambda u, v, noise, rng: np.cos(u + noise) + np.cos(v - noise) - 0.9,
    "bricks": lambda u, v, noise, rng: np.minimum(
        np.abs(np.sin(v)), np.abs(np.sin(u / 3 + (np.floor(v / np.pi) % 2) * np.pi / 2)) * 3
    ) * 4 - 0.8,
    "marble": lambda u, v, noise, rng: 1 - 3 * np.abs(noise),
    "grain": lambda u, v, noise, rng: rng.standard_normal(noise.shape, dtype=np.float32) * 0.6,
}


def surface(
    material: Material,
    cover: UInt8[np.ndarray, "h w"],
    noise: Float[np.ndarray, "h w"],
    light: Float[np.ndarray, "2"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "h w 3"]:
    """Returns the colours of a lit surface over the window that `cover` fills."""
    mix = (0.5 * material.strength) * (1 + pattern_field(material, noise, rng))
    colours = np.multiply.outer(mix, (material.accent - material.colour).astype(np.float32))
    colours += material.colour.astype(np.float32)
    bright = 1 + material.mottle * noise + shading(material, cover, light)
    return colours * bright[..., None]


def shading(
    material: Material, cover: UInt8[np.ndarray, "h w"], light: Float[np.ndarray, "2"]
) -> Float[np.ndarray, "h w"]:
    """Returns the change of brightness by a ramp, by the slope of the rim and by a highlight."""
    height, width = cover.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    toward = x * np.float32(light[0]) + y * np.float32(light[1])
    change = np.float32(material.ramp) * toward
    if material.relief:
        reach = max(3, min(height, width) // 3) | 1
        height_map = cv2.blur(cv2.blur(cover, (reach, reach)), (reach, reach))
        slope_x = cv2.Sobel(height_map, cv2.CV_32F, 1, 0, ksize=3)
        slope_y = cv2.Sobel(height_map, cv2.CV_32F, 0, 1, ksize=3)
        slope = slope_x * np.float32(light[0]) + slope_y * np.float32(light[1])
        change = change - np.float32(material.relief * reach / 1000) * slope
    if material.gloss:
        distance = (x - 0.4 * np.float32(light[0])) ** 2 + (y - 0.4 * np.float32(light[1])) ** 2
        change = change + np.float32(material.gloss) * np.exp(-6 * distance)
    return change


def cut(noise: Float[np.ndarray, "H W"], window: Window, rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Returns a window's worth of noise, turned and zoomed at random, so that no two surfaces share it."""
    size = window[1].stop - window[1].start, window[0].stop - window[0].start
    angle, zoom = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.6)
    c, s = np.cos(angle) * zoom, np.sin(angle) * zoom
    shift = rng.uniform(0, noise.shape[0], 2)
    matrix = np.array([[c, -s, shift[0]], [s, c, shift[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(noise, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT)
