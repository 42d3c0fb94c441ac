"""Layouts: which things stand where in a scene, and in which colours."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from sam_train.data.drawing import things
from sam_train.data.drawing.canvas import Canvas
from sam_train.data.drawing.outlines import Outline, curve, rotation, stroke, voronoi_cells
from sam_train.data.drawing.things import Part, Rng

MAX_PIECES = 34  # painted per scene; some are hidden or too small to become masks


# Backgrounds.


def ground(canvas: Canvas) -> None:
    """One surface over the whole image."""
    canvas.paint_stuff(Part("ground", _frame(canvas)))


def horizons(canvas: Canvas) -> None:
    """Bands from sky to ground, each hiding the lower part of the one above."""
    rng, (height, width) = canvas.rng, canvas.labels.shape
    ground(canvas)
    x = np.linspace(-0.01, 1.01, 40)
    for level in np.sort(rng.uniform(0.15, 0.85, rng.integers(1, 4))):
        orders = np.arange(1, 9)
        waves = np.sin(np.outer(x, orders * 4) + rng.uniform(0, 6, 8)) @ (rng.normal(size=8) / orders)
        y = level + rng.choice([0.0, 0.02, 0.06]) * waves
        edge = np.vstack([np.stack([x, y], 1), [[1.01, 1.01], [-0.01, 1.01]]])
        canvas.paint_stuff(Part("band", Outline([edge * (width, height)])))


def fields(canvas: Canvas) -> None:
    """Patches of land or tissue side by side, with a road between some."""
    rng, size = canvas.rng, np.array(canvas.labels.shape[::-1])
    sites = rng.uniform(-0.1, 1.1, (int(rng.integers(3, 9)), 2)) * size
    for cell in voronoi_cells(sites, _frame(canvas).solids[0]):
        canvas.paint_stuff(Part("field", cell))
    if rng.random() < 0.5:
        road = curve(rng, width=rng.uniform(0.06, 0.2))
        canvas.paint_stuff(_posed(Part("road", road), rng, size / 2, float(size.max()) * 0.75))


def _frame(canvas: Canvas) -> Outline:
    height, width = canvas.labels.shape
    return things.rectangle(-1, -1, width + 1, height + 1)


# Arrangements of things. Each paints back to front.


def salient(canvas: Canvas) -> None:
    """One large thing near the middle, and a few small ones."""
    rng = canvas.rng
    for _ in range(rng.integers(0, 4)):
        _paint_thing(canvas, _anything(rng), rng.uniform(0, 1, 2), rng.uniform(0.05, 0.15))
    _paint_thing(canvas, _anything(rng), rng.uniform(0.35, 0.65, 2), rng.uniform(0.28, 0.5))


def assorted(canvas: Canvas) -> None:
    """Things of many kinds and sizes, the nearer ones lower and larger."""
    rng = canvas.rng
    depths = np.sort(rng.uniform(0, 1, rng.integers(4, 12)))
    for depth in depths:
        place = np.array([rng.uniform(0.05, 0.95), np.clip(depth + rng.normal(0, 0.2), 0.05, 0.95)])
        _paint_thing(canvas, _anything(rng), place, np.exp(rng.uniform(-3.2, -1.2)) * (0.6 + depth))


def packed(canvas: Canvas) -> None:
    """Things that cover one another and nearly all of the ground, as leaves do."""
    rng = canvas.rng
    for radius in np.sort(0.06 * (rng.uniform(0.02, 1, 28)) ** -0.5)[::-1]:
        thing = things.plain(rng) if rng.random() < 0.3 else Part("plain", things.random_outline(rng))
        _paint_thing(canvas, thing, rng.uniform(0, 1, 2), min(radius, 0.4))


def repeated(canvas: Canvas) -> None:
    """Many copies of one thing in rows or in a heap, among others."""
    rng = canvas.rng
    build = _kind(rng)
    pattern, materials = build(rng), {}
    columns, rows = int(rng.integers(2, 6)), int(rng.integers(1, 5))
    jitter, turn = rng.choice([0.02, 0.25]), rng.choice([0.0, 0.1, 3.0])
    for row, column in np.ndindex(rows, columns):
        place = (np.array([column, row]) + 0.5 + rng.normal(0, jitter, 2)) / (columns, rows)
        copy = pattern if rng.random() < 0.5 else build(rng)
        radius = rng.uniform(0.38, 0.5) / max(columns, rows)
        _paint_thing(canvas, copy, place, radius, turn=turn, materials=materials)


def cells(canvas: Canvas) -> None:
    """Cells or nuclei in clusters, under a microscope."""
    rng = canvas.rng
    build = things.cell if rng.random() < 0.4 else things.nucleus
    radius, centres, materials = np.exp(rng.uniform(-3.6, -2.2)), rng.uniform(0, 1, (4, 2)), {}
    for _ in range(rng.integers(8, 28)):
        near = centres[rng.integers(4)] + rng.normal(0, 2.5 * radius, 2)
        place = near if rng.random() < 0.6 else rng.uniform(0, 1, 2)
        _paint_thing(canvas, build(rng), place, radius * rng.uniform(0.7, 1.3), turn=3.0, materials=materials)


def town(canvas: Canvas) -> None:
    """Buildings along streets seen from above, with cars and bushes."""
    rng = canvas.rng
    angle, step, materials = rng.uniform(0, np.pi), rng.uniform(0.12, 0.3), {}
    for row in np.arange(-0.7, 0.7, step * 1.4):
        for column in np.arange(-0.7, 0.7, step):
            place = rotation(angle) @ np.array([column, row]) + 0.5
            if not (0 < place.min() and place.max() < 1) or rng.random() < 0.25:
                continue
            build, share = [(things.roof, 0.42), (things.bush, 0.3), (things.vehicle, 0.15)][rng.choice(3, p=[0.6, 0.2, 0.2])]
            _paint_thing(canvas, build(rng), place, step * share, turn=0.0, heading=angle, materials=materials)


def tissue(canvas: Canvas) -> None:
    """A body in a scanner: organs within an outline, and vessels."""
    rng = canvas.rng
    organs = [
        replace(things.placed(things.organ(rng), *rng.uniform(-0.55, 0.55, 2), rng.uniform(0.12, 0.4)), inside=True)
        for _ in range(rng.integers(2, 7))
    ]
    body = Part("body", things.outlines.blob(rng, roughness=0.15), organs)
    _paint_thing(canvas, body, rng.uniform(0.4, 0.6, 2), rng.uniform(0.3, 0.6))
    if rng.random() < 0.4:
        _paint_thing(canvas, things.vessels(rng), rng.uniform(0.3, 0.7, 2), rng.uniform(0.2, 0.5))


def clutter(canvas: Canvas) -> None:
    """Specks and scratches that belong to no mask."""
    rng, (height, width) = canvas.rng, canvas.labels.shape
    for _ in range(rng.choice([0, 0, 10, 40])):
        start = rng.uniform(0, 1, 2) * (width, height)
        reach = np.stack([start, start + rng.normal(0, rng.choice([1, 8]), 2)])
        canvas.speck(stroke(reach, rng.uniform(0.7, 2, 2)))


def _extent(canvas: Canvas) -> float:
    return float(np.sqrt(np.prod(canvas.labels.shape)))


def _kind(rng: Rng) -> Callable[[Rng], Part]:
    if rng.random() < 0.5:
        return things.EVERYDAY[rng.integers(len(things.EVERYDAY))]
    return things.plain


def _anything(rng: Rng) -> Part:
    return _kind(rng)(rng)


def _paint_thing(
    canvas: Canvas,
    thing: Part,
    place: Float[np.ndarray, "2"],
    radius: float,
    *,
    turn: float = 0.15,
    heading: float = 0.0,
    materials: dict | None = None,
) -> None:
    """Paints a thing at a place (x, y in 0..1), its radius a share of the image's extent."""
    if len(canvas.spans) + thing.count() > MAX_PIECES:
        return
    rng, centre = canvas.rng, place * canvas.labels.shape[::-1]
    posed = _posed(thing, rng, centre, radius * _extent(canvas), turn=turn, heading=heading)
    shadow = rng.choice([0.0, 0.0, rng.uniform(0.1, 0.5)])
    canvas.paint(posed, materials=materials, shadow=shadow)


def _posed(
    thing: Part, rng: Rng, centre: Float[np.ndarray, "2"], radius: float, *, turn: float = 3.0, heading: float = 0.0
) -> Part:
    """Stretches, mirrors, turns and gently warps a thing from the unit frame into pixels."""
    stretch = np.exp(rng.normal(0, 0.15, 2)) * (rng.choice([-1, 1]), 1)
    matrix = rotation(heading + rng.normal(0, turn)) * radius
    waves, phases, bend = rng.uniform(0.5, 2, (2, 2)), rng.uniform(0, 6, 2), rng.uniform(0, 0.12)

    def move(points: np.ndarray) -> np.ndarray:
        warped = points * stretch + bend * np.sin(points @ waves + phases)
        return warped @ matrix.T + centre

    return thing.moved(move)
