"""What surfaces look like: colours, patterns over them, and their shading by light."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from sam_train.data.drawing.outlines import Window

PATTERNS = (
    *["plain"] * 3, *["cloud"] * 4, *["patches"] * 3, *["marble"] * 2, *["grain"] * 2,
    *["wood"] * 2, *["stripes"] * 2, *["spots"] * 2, "checks", "bricks",
)  # fmt: skip

# Sky, leaves, grass, earth, sand, stone, skin, wood, water, snow, night.
NATURAL = np.array(
    [
        (0.55, 0.72, 0.9), (0.2, 0.35, 0.12), (0.4, 0.5, 0.2), (0.35, 0.25, 0.17),
        (0.76, 0.68, 0.5), (0.5, 0.5, 0.48), (0.8, 0.6, 0.5), (0.5, 0.33, 0.2),
        (0.2, 0.35, 0.42), (0.9, 0.92, 0.95), (0.08, 0.08, 0.1),
    ]
)  # fmt: skip


def cloud(
    rng: np.random.Generator, size: tuple[int, int], *, roughness: float
) -> Float[np.ndarray, "H W"]:
    """Returns 1/f-like noise with zero mean and unit deviation.

    White noise is added at each doubling of a small grid, weighing `roughness` times the
    noise before; the last grid is enlarged to `size`.
    """
    total, weight = rng.random((4, 4), dtype=np.float32), 1.0
    while 2 * len(total) <= max(size):
        total = cv2.resize(total, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        weight *= roughness
        total += np.float32(weight) * rng.random(total.shape, dtype=np.float32)
    if total.shape != size:
        total = cv2.resize(total, size[::-1], interpolation=cv2.INTER_CUBIC)
    return (total - total.mean()) / total.std()


def sometimes(rng: np.random.Generator, chance: float, value: float) -> float:
    """Returns the value with the given chance, else 0."""
    return value if rng.random() < chance else 0.0


def palette(rng: np.random.Generator) -> Float[np.ndarray, "_ 3"]:
    """Draws the colours (0..1) of an everyday scene: some are nature's, some are anything."""
    count = int(rng.integers(4, 10))
    natural = NATURAL[rng.integers(len(NATURAL), size=count)]
    vivid = rng.uniform(0.05, 0.95, (count, 1)) * (1 + rng.uniform(-0.6, 0.6, (count, 3)))
    colours = np.where(rng.random((count, 1)) < rng.uniform(0, 1), natural, vivid)
    grey = colours.mean(1, keepdims=True)
    colours = grey + (colours - grey) * rng.uniform(0.2, 1.1)  # the scene's saturation
    return np.clip(colours * rng.uniform(0.6, 1.3, (count, 1)), 0.02, 0.98)


def stains(rng: np.random.Generator) -> Float[np.ndarray, "_ 3"]:
    """Draws shades from a dark or bright ground to the colour of a stain or tissue."""
    ground = rng.choice([rng.uniform(0.0, 0.15), rng.uniform(0.7, 0.95)]) + rng.normal(0, 0.04, 3)
    stain = rng.uniform(0.1, 0.95, 3)
    return np.clip(ground + np.linspace(0, 1, 6)[:, None] * (stain - ground), 0.02, 0.98)


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
    colour, accent = colours[rng.integers(len(colours), size=2)] + rng.normal(0, 0.05, (2, 3))
    return Material(
        colour=colour,
        accent=accent,
        pattern=PATTERNS[rng.integers(len(PATTERNS))],
        period=period * rng.uniform(0.5, 2),
        sharpness=rng.uniform(0.5, 6),
        strength=rng.uniform(0.05, 0.7) ** 1.5,
        mottle=rng.exponential(0.06),
        relief=sometimes(rng, 0.5, rng.uniform(0.1, 0.6)),
        ramp=rng.normal(0, 0.12),
        gloss=sometimes(rng, 0.33, rng.uniform(0.1, 0.5)),
    )


def related(material: Material, parent: Material, kinship: float) -> Material:
    """Returns the material, its colours drawn towards the parent's; close kin share patterns."""
    mixed = replace(
        material,
        colour=kinship * parent.colour + (1 - kinship) * material.colour,
        accent=kinship * parent.accent + (1 - kinship) * material.accent,
    )
    if kinship < 0.75:
        return mixed
    return replace(mixed, pattern=parent.pattern, period=parent.period, strength=parent.strength)


def apart(
    colour: Float[np.ndarray, "3"], behind: Float[np.ndarray, "3"], least: float
) -> Float[np.ndarray, "3"]:
    """Returns the colour, made darker or brighter until it differs by `least` in some channel."""
    missing = least - np.abs(colour - behind).max()
    if missing <= 0:
        return colour
    return behind + (least if behind.mean() < 0.5 else -least) + 0.3 * (colour - colour.mean())


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


def _bricks(u: Float[np.ndarray, "h w"], v: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Courses along v, every second one moved by half a brick; negative in the joints."""
    bond = (np.floor(v / np.pi) % 2) * np.pi / 2
    return 4 * np.minimum(np.abs(np.sin(v)), 3 * np.abs(np.sin(u / 3 + bond))) - 0.8


_WAVES = {
    "plain": lambda u, v, noise, rng: np.zeros_like(noise),
    "cloud": lambda u, v, noise, rng: noise * 0.5,
    "patches": lambda u, v, noise, rng: noise * 4 - 1,
    "stripes": lambda u, v, noise, rng: np.sin(u + 0.3 * noise),
    "wood": lambda u, v, noise, rng: np.sin(u * 1.5 + 2.5 * noise),
    "checks": lambda u, v, noise, rng: np.sin(u) * np.sin(v) * 3,
    "spots": lambda u, v, noise, rng: np.cos(u + noise) + np.cos(v - noise) - 0.9,
    "bricks": lambda u, v, noise, rng: _bricks(u, v),
    "marble": lambda u, v, noise, rng: 1 - 3 * np.abs(noise),
    "grain": lambda u, v, noise, rng: rng.standard_normal(noise.shape, dtype=np.float32) * 0.6,
}


def surface(
    material: Material,
    cover: UInt8[np.ndarray, "h w"],
    noise: Float[np.ndarray, "h w"],
    light: Float[np.ndarray, "2"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "3 h w"]:
    """Returns the colours of a lit surface over the window that `cover` fills."""
    mix = (0.5 * material.strength) * (1 + pattern_field(material, noise, rng))
    difference = (material.accent - material.colour).astype(np.float32)
    colours = difference[:, None, None] * mix
    colours += material.colour.astype(np.float32)[:, None, None]
    bright = 1 + material.mottle * noise + shading(material, cover, light)
    colours *= np.maximum(bright, 0.3)  # no shade is black
    return colours


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


def cut(
    noise: Float[np.ndarray, "H W"], window: Window, rng: np.random.Generator
) -> Float[np.ndarray, "h w"]:
    """Returns a window's worth of noise, turned and zoomed at random: each surface has its own."""
    size = window[1].stop - window[1].start, window[0].stop - window[0].start
    angle, zoom = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.6)
    c, s = np.cos(angle) * zoom, np.sin(angle) * zoom
    shift = rng.uniform(0, noise.shape[0], 2)
    matrix = np.array([[c, -s, shift[0]], [s, c, shift[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(noise, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT)
