"""Parts: the tree of named pieces that a thing is drawn from, and plain things of one outline."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from sam_train.data.drawing import outlines
from sam_train.data.drawing.outlines import Number, Outline, capsule, ellipse, rectangle

Rng = np.random.Generator


@dataclass(frozen=True)
class Part:
    """A piece of a thing. Its parts are painted over it in their order and belong to its mask.

    Pieces of one thing with the same name look alike. `kinship` in 0..1 says how much the
    colours resemble those of the piece it belongs to; `inside` cuts it to that piece's outline.
    Without an outline a piece is the sum of its parts.
    """

    name: str
    outline: Outline | None
    parts: list["Part"] = field(default_factory=list)
    kinship: float = 0.4
    inside: bool = False

    def moved(self, move: Callable[[np.ndarray], np.ndarray]) -> "Part":
        """Returns the part after `move` maps all vertices (n, 2)."""
        outline = self.outline and self.outline.moved(move)
        return replace(self, outline=outline, parts=[part.moved(move) for part in self.parts])

    def placed(self, x: Number, y: Number, scale: Number) -> "Part":
        return self.moved(lambda points: points * scale + (x, y))

    def count(self) -> int:
        return 1 + sum(part.count() for part in self.parts)

    def silhouette(self) -> list[Outline]:
        """Returns the outlines whose union is the whole thing."""
        own = [] if self.outline is None else [self.outline]
        return own + [o for part in self.parts if not part.inside for o in part.silhouette()]


def patch(rng: Rng, radius: float) -> Outline:
    """Returns a small blob at a random place near the middle."""
    centre = rng.uniform(-0.45, 0.45, 2)
    roughness = 0.35 if rng.random() < 0.5 else 0.05
    return outlines.blob(rng, roughness=roughness).moved(lambda points: points * radius + centre)


def disc(rng: Rng) -> Outline:
    return ellipse(0, 0, 1, rng.uniform(0.4, 1))


def slab(rng: Rng) -> Outline:
    """Returns a rectangle or a bar with round ends."""
    height = rng.uniform(0.15, 0.9)
    if rng.random() < 0.5:
        return rectangle(-1, -height, 1, height)
    return capsule(-0.8, 0, 0.8, 0, height * 0.6)


ELEMENTARY = (
    disc,
    slab,
    outlines.blob,
    outlines.blob,
    outlines.blob,
    outlines.spiky,
    outlines.ring,
    outlines.crescent,
    outlines.curve,
    outlines.branches,
    outlines.letter,
)


def simple(rng: Rng) -> Part:
    """One elementary outline."""
    return Part("simple", ELEMENTARY[rng.integers(len(ELEMENTARY))](rng))


def plain(rng: Rng) -> Part:
    """One elementary outline, often with pieces of its own: patches, a smaller copy or a band."""
    whole = simple(rng)
    kind, kinship = rng.integers(4), rng.uniform(0, 0.7)
    if kind == 0:
        return whole
    if kind == 1:
        inner = [patch(rng, rng.uniform(0.15, 0.4)) for _ in range(rng.integers(1, 4))]
    elif kind == 2:
        share = rng.uniform(0.45, 0.75)
        inner = [whole.outline.moved(lambda points: points * share)]
    else:
        at = rng.uniform(-0.5, 0.3)
        inner = [rectangle(at, -1, at + rng.uniform(0.2, 0.5), 1)]
    core = [Part("core", patch(rng, 0.25), inside=True)] if kind == 2 else []
    pieces = [Part("piece", outline, core, kinship, inside=True) for outline in inner]
    return replace(whole, parts=pieces)
