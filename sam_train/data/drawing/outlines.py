"""Outlines of drawn things: polygons in a unit frame (about -1..1, y down), and their pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Float, UInt8

FINE, COARSE = 4, 2  # sub-pixels per pixel and axis, for small windows and for large
FINE_PIXELS = 96**2  # a window of more pixels is large
SUBPIXEL_BITS = 4  # fractional bits of the vertices that OpenCV fills between

Window = tuple[slice, slice]
Number = int | float


@dataclass(frozen=True)
class Outline:
    """The union of the solid polygons, minus the union of the holes."""

    solids: list[Float[np.ndarray, "_ 2"]]
    holes: list[Float[np.ndarray, "_ 2"]] = field(default_factory=list)

    def __add__(self, other: "Outline") -> "Outline":
        return Outline(self.solids + other.solids, self.holes + other.holes)

    def moved(self, move: Callable[[np.ndarray], np.ndarray]) -> "Outline":
        """The outline after `move` maps each polygon's vertices (n, 2)."""
        return Outline([move(p) for p in self.solids], [move(p) for p in self.holes])


def coverage(outline: Outline, size: tuple[int, int]) -> tuple[Window, UInt8[np.ndarray, "h w"]]:
    """Returns the share (0..255) that an outline in pixels covers of each pixel in its window.

    Pixel i spans i..i+1. The window is the outline's box cut to an image of `size` (H, W);
    it is empty where nothing lies inside.
    """
    if not outline.solids:
        return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), np.uint8)
    vertices = np.concatenate(outline.solids)
    low = np.clip(np.floor(vertices.min(0)), 0, size[::-1]).astype(int)
    high = np.clip(np.ceil(vertices.max(0)), low, size[::-1]).astype(int)
    window = slice(low[1], high[1]), slice(low[0], high[0])
    width, height = (high - low).tolist()
    if width * height == 0:
        return window, np.zeros((height, width), np.uint8)

    subpixels = FINE if width * height <= FINE_PIXELS else COARSE
    fine = np.zeros((height * subpixels, width * subpixels), np.uint8)
    for polygons, value in ((outline.solids, 255), (outline.holes, 0)):
        for polygon in polygons:
            centred = (polygon - low) * subpixels - 0.5
            fixed = np.rint(centred * (1 << SUBPIXEL_BITS)).astype(np.int32)
            cv2.fillPoly(fine, [fixed], value, shift=SUBPIXEL_BITS)
    return window, cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)


# Elementary outlines.


def polygon(*vertices: tuple[Number, Number]) -> Outline:
    return Outline([np.array(vertices, float)])


def rectangle(x0: Number, y0: Number, x1: Number, y1: Number) -> Outline:
    return polygon((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def circle_points(count: int = 40) -> Float[np.ndarray, "_ 2"]:
    """Returns points on the unit circle at equal angles."""
    angle = np.arange(count) * (2 * np.pi / count)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def ellipse(x: Number, y: Number, rx: Number, ry: Number, *, angle: Number = 0.0) -> Outline:
    points = circle_points() * (rx, ry)
    return Outline([points @ rotation(angle).T + (x, y)])


def rotation(angle: float) -> Float[np.ndarray, "2 2"]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def stroke(points: Float[np.ndarray, "n 2"], widths: Float[np.ndarray, " n"]) -> Outline:
    """Returns a line with round joints and ends; its width changes from vertex to vertex."""
    discs = [circle_points(12) * (w / 2) + p for p, w in zip(points, widths, strict=True)]
    steps = np.diff(points, axis=0)
    normals = steps[:, ::-1] * (-1, 1) / (np.linalg.norm(steps, axis=1, keepdims=True) + 1e-9)
    starts, ends = normals * widths[:-1, None] / 2, normals * widths[1:, None] / 2
    quads = np.stack(
        [points[:-1] + starts, points[1:] + ends, points[1:] - ends, points[:-1] - starts], axis=1
    )
    return Outline([*discs, *quads])


def capsule(x0: Number, y0: Number, x1: Number, y1: Number, width: Number) -> Outline:
    return stroke(np.array([[x0, y0], [x1, y1]], float), np.array([width, width], float))


# Random outlines.


def blob(rng: np.random.Generator, *, roughness: float = 0.3) -> Outline:
    """Returns a smooth closed curve: its radius is a random Fourier series with falling weights."""
    angle = np.arange(64) * (2 * np.pi / 64)
    orders = np.arange(1, 8)
    weights = rng.normal(size=7) * roughness / orders**1.3
    phases = rng.uniform(0, 2 * np.pi, 7)
    waves = np.sin(orders * angle[:, None] + phases) @ weights
    radius = np.exp(waves)
    return Outline([circle_points(64) * (radius / radius.max())[:, None]])


def spiky(rng: np.random.Generator) -> Outline:
    """Returns a polygon of uneven corners, a star or a wheel of petals."""
    corners = int(rng.integers(3, 10))
    inner = rng.choice([1.0, rng.uniform(0.3, 0.8)])
    radius = np.where(np.arange(2 * corners) % 2, inner, 1.0)
    radius *= rng.uniform(1 - rng.uniform(0, 0.4), 1, 2 * corners)
    if inner == 1.0:
        return Outline([(circle_points(2 * corners) * radius[:, None])[::2]])
    return Outline([circle_points(2 * corners) * radius[:, None]])


def ring(rng: np.random.Generator) -> Outline:
    inner = rng.uniform(0.3, 0.85)
    outer = blob(rng, roughness=rng.choice([0.0, 0.2]))
    return Outline(outer.solids, [p * inner for p in outer.solids])


def crescent(rng: np.random.Generator) -> Outline:
    bite = rng.uniform(0.6, 1.0)
    return Outline(ellipse(0, 0, 1, 1).solids, ellipse(rng.uniform(0.3, 0.7), 0, bite, bite).solids)


def curve(rng: np.random.Generator, *, width: float = 0.25) -> Outline:
    """Returns a curved line across the unit frame, evenly wide or tapered."""
    along = np.linspace(-1, 1, 16)
    orders = np.arange(1, 4)
    waves = np.sin(along[:, None] * orders * 2 + rng.uniform(0, 6, 3)) @ (
        rng.normal(size=3) / orders
    )
    widths = width * np.linspace(1, rng.choice([1.0, 0.2]), 16)
    return stroke(np.stack([along, 0.4 * waves], axis=1), widths)


def branches(rng: np.random.Generator, *, width: float = 0.16) -> Outline:
    """Returns a tree of thinning strokes, as vessels, roots and rivers are."""
    outline, tips = Outline([]), [(np.array([0.0, 1.0]), -np.pi / 2, width)]
    for _ in range(int(rng.integers(3, 8))):
        start, heading, wide = tips.pop(0)
        bends = heading + np.cumsum(rng.normal(0, 0.25, 6))
        steps = np.stack([np.cos(bends), np.sin(bends)], axis=1) * 0.13
        points = np.vstack([start, start + np.cumsum(steps, axis=0)])
        outline += stroke(points, np.linspace(wide, wide * 0.75, 7))
        tips += [(points[-1], bends[-1] + turn, wide * 0.7) for turn in (-0.6, 0.5)]
    return outline


def letter(rng: np.random.Generator) -> Outline:
    """Returns a glyph: a few thick strokes between the nodes of a 3 x 3 grid."""
    width = rng.uniform(0.2, 0.5)
    grid = np.stack(np.meshgrid([-0.6, 0, 0.6], [-0.8, 0, 0.8]), -1).reshape(9, 2)
    path = grid[rng.permutation(9)[: rng.integers(3, 6)]]
    return stroke(path, np.full(len(path), width))


def clipped(
    points: Float[np.ndarray, "_ 2"], normal: Sequence[float] | np.ndarray, offset: float
) -> Float[np.ndarray, "_ 2"]:
    """Returns the part of a convex polygon where `normal` . p <= `offset` (Sutherland-Hodgman)."""
    side = points @ np.asarray(normal, float) - offset
    kept = []
    for i in range(len(points)):
        a, b, p, q = side[i - 1], side[i], points[i - 1], points[i]
        if (a <= 0) != (b <= 0):
            kept.append(p + (q - p) * (a / (a - b)))
        if b <= 0:
            kept.append(q)
    return np.array(kept, float).reshape(-1, 2)


def voronoi_cells(
    sites: Float[np.ndarray, "n 2"], frame: Float[np.ndarray, "4 2"]
) -> list[Outline]:
    """Returns each site's cell within a convex frame; cells that are cut away are left out."""
    cells = []
    for i, site in enumerate(sites):
        cell = frame
        for other in np.delete(sites, i, axis=0):
            normal = other - site
            cell = clipped(cell, normal, float(normal @ (other + site)) / 2) if len(cell) else cell
        cells.append(cell)
    return [Outline([cell]) for cell in cells if len(cell) > 2]
