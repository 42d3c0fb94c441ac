"""The canvas: paints trees of parts into an image and, exactly, into a map of labels."""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from sam_train.data.drawing.outlines import Outline, Window, coverage
from sam_train.data.drawing.parts import Part
from sam_train.data.drawing.textures import (
    Material,
    apart,
    cut,
    random_material,
    related,
    surface,
)


@dataclass
class Canvas:
    """An image (0..1) in painting, with the label of the topmost piece in each pixel.

    Labels count the pieces in the order of painting, a whole before its parts, so a piece and
    all its parts hold the labels from its own to `ends[label]`, exclusive. All things are lit
    from `light` (a unit vector x, y) and take two of the `colours`, at least `contrast` apart
    from what lies behind them.
    """

    rng: np.random.Generator
    image: Float[np.ndarray, "3 H W"]
    noises: list[Float[np.ndarray, "_ _"]]
    colours: Float[np.ndarray, "_ 3"]
    light: Float[np.ndarray, "2"]
    contrast: float
    ends: list[int] = field(default_factory=list)
    parents: list[int | None] = field(default_factory=list)
    materials: list[Material] = field(default_factory=list)
    stuff: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.labels = np.full(self.size, -1, np.int32)

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[1:]

    def paint(
        self, thing: Part, *, looks: dict[str, Material] | None = None, shadow: float = 0.0
    ) -> None:
        """Paints a thing, given in pixels, over all before it.

        `looks` are the materials by the name of the piece; it is filled in, and things that
        share it look alike. `shadow` in 0..1 is how dark a shadow the thing casts.
        """
        if shadow:
            self._cast_shadow(thing.silhouette(), shadow)
        self._paint(thing, {} if looks is None else looks)

    def paint_stuff(self, region: Part) -> None:
        """Paints a region of the background."""
        self.stuff.add(len(self.ends))
        self.paint(region)

    def paint_speck(self, outline: Outline) -> None:
        """Paints a mark that belongs to whatever lies under it."""
        window, cover = coverage(outline, self.size)
        colour = self.colours[self.rng.integers(len(self.colours))]
        self._blend(window, cover, np.tile(colour[:, None, None], cover.shape))

    def areas(self) -> list[int]:
        """Returns the visible pixels of each piece with its parts, by label."""
        counts = np.bincount(self.labels.ravel() + 1, minlength=len(self.ends) + 1)
        before = np.cumsum(counts)  # pixels with a smaller label, by label
        return [int(before[end] - before[label]) for label, end in enumerate(self.ends)]

    def visible(self, label: int) -> Bool[np.ndarray, "H W"]:
        """Returns the mask of a piece with its parts where nothing later covers them."""
        return (self.labels >= label) & (self.labels < self.ends[label])

    def _paint(
        self,
        part: Part,
        looks: dict[str, Material],
        parent: int | None = None,
        clip: UInt8[np.ndarray, "H W"] | None = None,
    ) -> None:
        """Paints a piece, then its parts; `clip` is the coverage by its parent."""
        label = len(self.ends)
        window, cover = coverage(part.outline or Outline([]), self.size)
        if part.inside and clip is not None:
            cover = np.minimum(cover, clip[window])

        self.ends.append(label + 1)
        self.parents.append(parent)
        self.materials.append(self._material(part, looks, window, parent))
        if cover.size:
            self._fill(window, cover, label)
        inner = None
        if any(piece.inside for piece in part.parts):
            inner = np.zeros(self.size, np.uint8)
            inner[window] = cover
        for piece in part.parts:
            self._paint(piece, looks, label, inner)
        self.ends[label] = len(self.ends)

    def _material(
        self, part: Part, looks: dict[str, Material], window: Window, parent: int | None
    ) -> Material:
        """The piece's look, drawn at random at its name's first use, then varied a little."""
        if part.name not in looks:
            period = self.rng.uniform(0.02, 0.12) * min(self.size)
            material = random_material(self.rng, self.colours, period=period)
            behind = None
            if parent is not None:
                material = related(material, self.materials[parent], part.kinship)
                behind = self.materials[parent].colour if part.kinship < 0.75 else None
            elif self.image[:, *window].size:
                behind = self.image[:, *window][:, ::4, ::4].mean((1, 2))
            if behind is not None:
                material = replace(material, colour=apart(material.colour, behind, self.contrast))
            looks[part.name] = material
        look = looks[part.name]
        return replace(look, colour=look.colour + self.rng.normal(0, 0.02, 3))

    def _fill(self, window: Window, cover: UInt8[np.ndarray, "h w"], label: int) -> None:
        """Paints a piece's surface, and its label where it covers at least half of a pixel."""
        noise = cut(self.noises[self.rng.integers(len(self.noises))], window, self.rng)
        self._blend(
            window, cover, surface(self.materials[label], cover, noise, self.light, self.rng)
        )
        self.labels[window][cover > 127] = label

    def _blend(
        self, window: Window, cover: UInt8[np.ndarray, "h w"], colours: Float[np.ndarray, "3 h w"]
    ) -> None:
        image = self.image[:, *window]
        image += (colours - image) * (cover * np.float32(1 / 255))

    def _cast_shadow(self, silhouette: list[Outline], darkness: float) -> None:
        """Darkens what lies behind a thing, on the side away from the light."""
        coarse = 4  # pixels per pixel of the shadow: its edges are soft
        height, width = self.size
        shade = np.zeros((-(-height // coarse), -(-width // coarse)), np.uint8)
        away = self.light * (0.03 * min(self.size))
        for outline in silhouette:
            window, cover = coverage(outline.moved(lambda p: (p - away) / coarse), shade.shape)
            shade[window] = np.maximum(shade[window], cover)
        soft = cv2.resize(cv2.blur(shade, (5, 5)), (width, height))
        x, y, w, h = cv2.boundingRect(soft)
        window = slice(y, y + h), slice(x, x + w)
        self.image[:, *window] *= 1 - soft[window] * np.float32(darkness / 255)
