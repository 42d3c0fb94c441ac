"""Layouts: which things stand where in a scene, and in which colours."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from sam_train.data.drawing import specimens, things
from sam_train.data.drawing.canvas import Canvas
from sam_train.data.drawing.outlines import (
    Number,
    Outline,
    curve,
    rectangle,
    rotation,
    stroke,
    voronoi_cells,
)
from sam_train.data.drawing.parts import Part, Rng, plain, simple
from sam_train.data.drawing.textures import Material, sometimes

MAX_PIECES = 34  # painted per scene; some are hidden or too small to become masks


# Backgrounds.


def ground(canvas: Canvas) -> None:
    """One surface over the whole image."""
    canvas.paint_stuff(Part("ground", _frame(canvas)))


def horizons(canvas: Canvas) -> None:
    """Bands from sky to ground, each hiding the lower part of the one above."""
    rng, (height, width) = canvas.rng, canvas.size
    ground(canvas)
    x = np.linspace(-0.01, 1.01, 40)
    for level in np.sort(rng.uniform(0.15, 0.85, rng.integers(1, 4))):
        orders = np.arange(1, 9)
        waves = np.sin(np.outer(x, orders * 4) + rng.uniform(0, 6, 8)) @ (
            rng.normal(size=8) / orders
        )
        y = level + rng.choice([0.0, 0.02, 0.06]) * waves
        edge = np.vstack([np.stack([x, y], 1), [[1.01, 1.01], [-0.01, 1.01]]])
        canvas.paint_stuff(Part("band", Outline([edge * (width, height)])))


def fields(canvas: Canvas) -> None:
    """Patches of land or tissue side by side, with a road between some."""
    rng, size = canvas.rng, np.array(canvas.size[::-1])
    sites = rng.uniform(-0.1, 1.1, (int(rng.integers(3, 9)), 2)) * size
    for cell in voronoi_cells(sites, _frame(canvas).solids[0]):
        canvas.paint_stuff(Part("field", cell))
    if rng.random() < 0.5:
        road = curve(rng, width=rng.uniform(0.06, 0.2))
        canvas.paint_stuff(_posed(Part("road", road), rng, size / 2, float(size.max()) * 0.75))


def _frame(canvas: Canvas) -> Outline:
    height, width = canvas.size
    return rectangle(-1, -1, width + 1, height + 1)


# Arrangements of things, painted back to front.


def salient(canvas: Canvas) -> None:
    """One large thing near the middle, behind it a few small ones."""
    rng = canvas.rng
    for _ in range(rng.integers(0, 4)):
        _paint_at(canvas, _anything(rng)(rng), rng.uniform(0, 1, 2), rng.uniform(0.05, 0.2))
    _paint_at(canvas, _anything(rng)(rng), rng.uniform(0.35, 0.65, 2), rng.uniform(0.28, 0.5))


def assorted(canvas: Canvas) -> None:
    """Things of many kinds and sizes, the nearer ones lower and larger."""
    rng = canvas.rng
    for depth in np.sort(rng.uniform(0, 1, rng.integers(4, 12))):
        place = np.clip([rng.uniform(0, 1), depth + rng.normal(0, 0.2)], 0.05, 0.95)
        radius = np.exp(rng.uniform(-2.9, -0.9)) * (0.6 + depth)
        _paint_at(canvas, _anything(rng)(rng), place, radius)


def packed(canvas: Canvas) -> None:
    """Things that cover one another and nearly all of the ground, as leaves do."""
    rng = canvas.rng
    for radius in np.sort(0.075 * rng.uniform(0.02, 1, 28) ** -0.5)[::-1]:
        build = plain if rng.random() < 0.3 else simple
        _paint_at(canvas, build(rng), rng.uniform(0, 1, 2), min(radius, 0.4))


def repeated(canvas: Canvas) -> None:
    """Copies of one thing in rows or in a heap."""
    rng, looks = canvas.rng, dict[str, Material]()
    build = _anything(rng)
    pattern, turn = build(rng), rng.choice([0.0, 0.1, 3.0])
    columns, rows = int(rng.integers(2, 6)), int(rng.integers(1, 5))
    jitter = rng.choice([0.02, 0.25])
    for place in rng.permutation(list(np.ndindex(columns, rows))):
        centre = (place + 0.5 + rng.normal(0, jitter, 2)) / (columns, rows)
        radius = rng.uniform(0.38, 0.5) / max(columns, rows)
        thing = pattern if rng.random() < 0.5 else build(rng)
        _paint_at(canvas, thing, centre, radius, turn=turn, looks=looks)


def cells(canvas: Canvas) -> None:
    """Cells or nuclei, some in clusters, under a microscope."""
    rng, looks = canvas.rng, dict[str, Material]()
    build = specimens.cell if rng.random() < 0.4 else specimens.nucleus
    radius, clusters = np.exp(rng.uniform(-3.6, -2.0)), rng.uniform(0, 1, (4, 2))
    for _ in range(rng.integers(8, 30)):
        place = clusters[rng.integers(4)] + rng.normal(0, 2.5 * radius, 2)
        if rng.random() < 0.4:
            place = rng.uniform(0, 1, 2)
        _paint_at(canvas, build(rng), place, radius * rng.uniform(0.7, 1.3), turn=3.0, looks=looks)


def town(canvas: Canvas) -> None:
    """Buildings along streets seen from above, with cars and bushes."""
    rng, looks = canvas.rng, dict[str, Material]()
    kinds = [(specimens.roof, 0.42), (specimens.bush, 0.3), (specimens.vehicle, 0.15)]
    heading, step = rng.uniform(0, np.pi), rng.uniform(0.14, 0.36)
    lots = np.stack(np.meshgrid(np.arange(-0.7, 0.7, step), np.arange(-0.7, 0.7, step * 1.4)), -1)
    for place in rng.permutation(lots.reshape(-1, 2) @ rotation(heading).T + 0.5):
        if place.min() > 0 and place.max() < 1:
            build, share = kinds[rng.choice(3, p=[0.6, 0.2, 0.2])]
            thing, radius = build(rng), step * share
            _paint_at(canvas, thing, place, radius, turn=0.0, heading=heading, looks=looks)


def tissue(canvas: Canvas) -> None:
    """A body in a scanner: organs within an outline, and vessels."""
    rng = canvas.rng
    _paint_at(canvas, specimens.body(rng), rng.uniform(0.4, 0.6, 2), rng.uniform(0.3, 0.6))
    if rng.random() < 0.4:
        _paint_at(canvas, specimens.vessels(rng), rng.uniform(0.3, 0.7, 2), rng.uniform(0.2, 0.5))


def clutter(canvas: Canvas) -> None:
    """Specks and scratches that belong to no mask of their own."""
    rng = canvas.rng
    for _ in range(rng.choice([0, 0, 10, 30])):
        start = rng.uniform(0, 1, 2) * canvas.size[::-1]
        line = np.stack([start, start + rng.normal(0, rng.choice([1, 8]), 2)])
        canvas.paint_speck(stroke(line, rng.uniform(0.7, 2, 2)))


def _anything(rng: Rng) -> Callable[[Rng], Part]:
    if rng.random() < 0.4:
        return plain
    return things.EVERYDAY[rng.integers(len(things.EVERYDAY))]


def _paint_at(
    canvas: Canvas,
    thing: Part,
    place: Float[np.ndarray, "2"],
    radius: Number,
    *,
    turn: Number = 0.15,
    heading: Number = 0.0,
    looks: dict[str, Material] | None = None,
) -> None:
    """Paints a thing at a place (x, y in 0..1), its radius a share of the image's side.

    A thing that would pass the number of pieces of a scene is left out.
    """
    if len(canvas.ends) + thing.count() > MAX_PIECES:
        return
    rng, size = canvas.rng, np.array(canvas.size[::-1])
    radius = radius * np.sqrt(size.prod())
    posed = _posed(thing, rng, place * size, radius, turn=turn, heading=heading)
    canvas.paint(posed, looks=looks, shadow=sometimes(rng, 0.33, rng.uniform(0.1, 0.5)))


def _posed(
    thing: Part,
    rng: Rng,
    centre: Float[np.ndarray, "2"],
    radius: Number,
    *,
    turn: Number = 3.0,
    heading: Number = 0.0,
) -> Part:
    """Stretches, mirrors, gently warps and turns a thing from the unit frame into pixels."""
    stretch = np.exp(rng.normal(0, 0.15, 2)) * (rng.choice([-1, 1]), 1)
    matrix = rotation(heading + rng.normal(0, turn)) * radius
    waves, phases, bend = rng.uniform(0.5, 2, (2, 2)), rng.uniform(0, 6, 2), rng.uniform(0, 0.12)

    def move(points: np.ndarray) -> np.ndarray:
        warped = points * stretch + bend * np.sin(points @ waves + phases)
        return warped @ matrix.T + centre

    return thing.moved(move)
