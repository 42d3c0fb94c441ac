"""Drawn scenes with exact masks: wholes, their parts and the regions behind them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, UInt8

from sam_train.data.drawing import layouts
from sam_train.data.drawing.camera import photograph
from sam_train.data.drawing.canvas import Canvas
from sam_train.data.drawing.textures import cloud, palette, stains
from sam_train.data.records import Rle
from sam_train.data.rle import encode_mask
from sam_train.data.sets.labeled_image import LabeledImage

MIN_AREA, MAX_AREA = 0.001, 0.6  # of the image
SAME_IOU = 0.9  # a part this close to its whole is the whole
MIN_MASKS, MAX_MASKS = 3, 30
LEVELS = ("object", "part", "subpart")

ARRANGEMENTS = {
    layouts.salient: 0.18,
    layouts.assorted: 0.28,
    layouts.packed: 0.14,
    layouts.repeated: 0.14,
    layouts.cells: 0.1,
    layouts.town: 0.06,
    layouts.tissue: 0.1,
}
SCIENTIFIC = (layouts.cells, layouts.tissue)


@dataclass(frozen=True)
class Scene:
    """An image and its masks, wholes before their parts.

    `levels` names each mask "object", "part", "subpart" or "stuff" (a region of the
    background); `parents` is the index of the mask that a part belongs to.
    """

    image: UInt8[np.ndarray, "H W 3"]
    masks: list[Bool[np.ndarray, "H W"]]
    levels: list[str]
    parents: list[int | None]


def draw_scene(seed: int, size: tuple[int, int] = (256, 256)) -> Scene:
    """Draws the scene of a seed at `size` (H, W).

    A mask is what is visible of an object, its parts included, in one or several pieces. Masks
    below 0.1 % or above 60 % of the image and parts that nearly equal their whole are left out.
    """
    if min(size) < 16:
        raise ValueError(
            f"A scene needs at least 16 pixels a side, not {size}: ask for a larger size."
        )
    rng = np.random.default_rng(seed)
    while True:
        scene = _attempt(rng, size)
        if len(scene.masks) >= MIN_MASKS:
            return scene


def _attempt(rng: np.random.Generator, size: tuple[int, int]) -> Scene:
    """Draws one scene, which may hold too few masks."""
    arrange = list(ARRANGEMENTS)[rng.choice(len(ARRANGEMENTS), p=list(ARRANGEMENTS.values()))]
    scientific = arrange in SCIENTIFIC
    angle = rng.uniform(0, 2 * np.pi)
    canvas = Canvas(
        rng=rng,
        image=np.full((3, *size), 0.5, np.float32),
        noises=[cloud(rng, (256, 256), roughness=roughness) for roughness in (0.5, 0.85)],
        colours=stains(rng) if scientific and rng.random() < 0.7 else palette(rng),
        light=np.array([np.cos(angle), np.sin(angle)]),
        contrast=rng.uniform(0.05, 0.3),
    )
    backgrounds = [layouts.ground, layouts.horizons, layouts.fields]
    odds = [0.8, 0.0, 0.2] if scientific else [0.3, 0.4, 0.3]
    backgrounds[rng.choice(3, p=odds)](canvas)
    layouts.clutter(canvas)
    arrange(canvas)
    grey = rng.random() < (0.5 if scientific else 0.1)
    return Scene(photograph(canvas.image, rng, grey=grey), *visible_masks(canvas))


def visible_masks(canvas: Canvas) -> tuple[list[np.ndarray], list[str], list[int | None]]:
    """Returns the masks worth keeping of a painted canvas, their levels and parents."""
    areas, wholes = canvas.areas(), {}  # of each kept piece: the kept piece around it
    for label, area in enumerate(areas):
        whole = canvas.parents[label]
        while whole is not None and whole not in wholes:
            whole = canvas.parents[whole]
        same = whole is not None and area > SAME_IOU * areas[whole]
        if MIN_AREA * canvas.labels.size <= area <= MAX_AREA * canvas.labels.size and not same:
            wholes[label] = whole

    # The largest: a whole is larger than its parts, so none loses its whole.
    largest = sorted(sorted(wholes, key=lambda label: -areas[label])[:MAX_MASKS])
    index: dict[int | None, int] = {label: i for i, label in enumerate(largest)}
    parents = [index.get(wholes[label]) for label in largest]
    depths: list[int] = []
    for parent in parents:
        depths.append(0 if parent is None else depths[parent] + 1)
    levels = [
        "stuff" if label in canvas.stuff else LEVELS[min(depth, 2)]
        for label, depth in zip(largest, depths, strict=True)
    ]
    return [canvas.visible(label) for label in largest], levels, parents


class SceneSet:
    """Drawn scenes with exact masks. Scene i has the seed `seed + i`."""

    def __init__(self, name: str, count: int, *, seed: int = 0, image_size: int = 256) -> None:
        self.name = name
        self._count = count
        self._seed = seed
        self._size = (image_size, image_size)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[LabeledImage]:
        for seed in range(self._seed, self._seed + self._count):
            key = f"{seed:06d}"
            yield LabeledImage(key, partial(self._image, seed), partial(self._masks, seed))

    def _image(self, seed: int) -> UInt8[np.ndarray, "H W 3"]:
        return draw_scene(seed, self._size).image

    def _masks(self, seed: int) -> list[Rle]:
        return [encode_mask(mask) for mask in draw_scene(seed, self._size).masks]
