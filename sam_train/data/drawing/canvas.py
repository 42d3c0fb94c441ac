"""The canvas: paints trees of parts into an image and, exactly, into a map of labels."""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from sam_train.data.drawing.outlines import Outline, Window, coverage
from sam_train.data.drawing.textures import Material, cut, random_material, related, surface
from sam_train.data.drawing.things import Part


@dataclass
class Canvas:
    """An image in painting, with the label of the topmost piece in each pixel.

    Labels count the pieces in the order of painting, parents before their parts, so a piece
    and all its parts hold the labels `first <= label < last` of `spans[first] = last`.
    """

    rng: np.random.Generator
    image: Float[np.ndarray, "H W 3"]
    noises: list[Float[np.ndarray, "S S"]]
    colours: Float[np.ndarray, "k 3"]
    light: Float[np.ndarray, "2"]
    contrast: tuple[float, float] = (0.15, 1.0)
    labels: np.ndarray = field(init=False)
    spans: list[int] = field(default_factory=list)
    parents: list[int | None] = field(default_factory=list)
    stuff: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.labels = np.full(self.image.shape[:2], -1, np.int32)

    def paint(self, part: Part, *, materials: dict[str, Material] | None = None, shadow: float = 0.0) -> None:
        """Paints a thing in pixels. Things that share `materials` look alike."""
        if shadow:
            self._cast_shadow(part, shadow)
        self._paint(part, None, None, None, {} if materials is None else materials)

    def paint_stuff(self, part: Part) -> None:
        """Paints a region of the background."""
        self.stuff.add(len(self.spans))
        self.paint(part)

    def speck(self, outline: Outline) -> None:
        """Paints a mark that belongs to whatever lies under it."""
        window, cover = coverage(outline, self.labels.shape)
        colour = self.colours[self.rng.integers(len(self.colours))].astype(np.float32)
        image = self.image[window]
        image += (colour - image) * (cover * np.float32(1 / 255))[..., None]

    def areas(self) -> list[int]:
        """The visible pixels of each piece and its parts, by label."""
        counts = np.bincount(self.labels.ravel() + 1, minlength=len(self.spans) + 1)
        below = np.cumsum(counts)  # pixels with a smaller label, by label
        return [int(below[last] - below[first]) for first, last in enumerate(self.spans)]

    def visible(self, label: int) -> Bool[np.ndarray, "H W"]:
        """Returns the mask of a piece and its parts where nothing later covers them."""
        return (self.labels >= label) & (self.labels < self.spans[label])

    def _paint(
        self,
        part: Part,
        parent: int | None,
        parent_material: Material | None,
        clip: UInt8[np.ndarray, "H W"] | None,
        materials: dict[str, Material],
    ) -> None:
        label = len(self.spans)
        self.spans.append(label + 1)
        self.parents.append(parent)
        if part.outline is not None:
            window, cover = coverage(part.outline, self.labels.shape)
            if part.inside and clip is not None:
                cover = np.minimum(cover, clip[window])
        material = self._material(part, window if part.outline else None, parent_material, materials)
        full = None
        if part.outline is not None and cover.size:
            self._fill(window, cover, material, label)
            if any(p.inside for p in part.parts):
                full = np.zeros(self.labels.shape, np.uint8)
                full[window] = cover
        for piece in part.parts:
            self._paint(piece, label, material, full, materials)
        self.spans[label] = len(self.spans)

    def _material(
        self, part: Part, window: Window | None, parent: Material | None, materials: dict[str, Material]
    ) -> Material:
        """The material of a piece; a thing's own is drawn towards what lies behind it, at random."""
        if part.name not in materials:
            period = self.rng.uniform(0.02, 0.12) * min(self.labels.shape)
            fresh = random_material(self.rng, self.colours, period=period)
            if parent is not None:
                fresh = related(fresh, parent, part.kinship)
            elif window is not None and self.image[window].size:
                behind = self.image[window][::4, ::4].mean((0, 1))
                share = self.rng.uniform(*self.contrast)
                fresh = replace(fresh, colour=behind + share * (fresh.colour - behind))
            materials[part.name] = fresh
        shared = materials[part.name]
        return replace(shared, colour=shared.colour + self.rng.normal(0, 0.015, 3))

    def _fill(self, window: Window, cover: UInt8[np.ndarray, "h w"], material: Material, label: int) -> None:
        noise = cut(self.noises[self.rng.integers(len(self.noises))], window, self.rng)
        colours = surface(material, cover, noise, self.light, self.rng)
        image = self.image[window]
        image += (colours - image) * (cover * np.float32(1 / 255))[..., None]
        self.labels[window][cover > 127] = label

    def _cast_shadow(self, part: Part, darkness: float) -> None:
        """Darkens what lies behind a thing, away from the light, by its blurred outline."""
        small = tuple(-(-side // 4) for side in self.labels.shape)
        shade = np.zeros(small, np.uint8)
        for piece in _outlined(part):
            away = self.light * (0.03 * min(self.labels.shape))
            window, cover = coverage(piece.outline.moved(lambda p: (p - away) / 4), small)
            shade[window] = np.maximum(shade[window], cover)
        soft = cv2.resize(cv2.blur(shade, (5, 5)), self.labels.shape[::-1])
        self.image *= 1 - (soft * np.float32(darkness / 255))[..., None]


def _outlined(part: Part) -> list[Part]:
    """A thing's pieces that make its silhouette."""
    own = [part] if part.outline is not None else []
    return own + [q for p in part.parts if not p.inside for q in _outlined(p)]
