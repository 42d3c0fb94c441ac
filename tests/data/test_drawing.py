"""Outlines, surfaces and the canvas that scenes are drawn with."""

import numpy as np
import pytest

from sam_train.data.drawing import parts, specimens, things
from sam_train.data.drawing.canvas import Canvas
from sam_train.data.drawing.outlines import (
    Outline,
    coverage,
    ellipse,
    rectangle,
    stroke,
    voronoi_cells,
)
from sam_train.data.drawing.parts import Part
from sam_train.data.drawing.textures import apart, cloud


@pytest.fixture
def canvas() -> Canvas:
    rng = np.random.default_rng(0)
    return Canvas(
        rng=rng,
        image=np.full((3, 64, 64), 0.5, np.float32),
        noises=[cloud(rng, (64, 64), roughness=0.5)],
        colours=rng.uniform(size=(4, 3)),
        light=np.array([0.6, 0.8]),
        contrast=0.2,
    )


def test_coverage_is_the_share_of_each_pixel_inside() -> None:
    window, cover = coverage(rectangle(2, 3, 6.5, 7), (20, 20))
    assert window == (slice(3, 7), slice(2, 7))
    assert (cover[:, :4] == 255).all()
    assert np.abs(cover[:, 4].astype(int) - 128).max() <= 64


@pytest.mark.parametrize("radius", [3, 20, 90])
def test_a_disc_covers_its_area(radius: int) -> None:
    _, cover = coverage(ellipse(100, 100, radius, radius), (200, 200))
    assert cover.sum() / 255 == pytest.approx(np.pi * radius**2, rel=0.1)


def test_holes_and_what_lies_outside_are_not_covered() -> None:
    ring = Outline(ellipse(0, 20, 15, 15).solids, ellipse(0, 20, 8, 8).solids)
    window, cover = coverage(ring, (40, 40))
    assert window == (slice(5, 35), slice(0, 15))
    assert cover[15, 0] == 0
    assert cover[15, 11] == 255
    assert coverage(rectangle(50, 50, 60, 60), (40, 40))[1].size == 0


def test_a_stroke_is_as_wide_as_asked() -> None:
    _, cover = coverage(stroke(np.array([[5.0, 20], [35, 20]]), np.array([6.0, 6])), (40, 40))
    assert cover[:, 15].sum() / 255 == pytest.approx(6, abs=0.5)


def test_voronoi_cells_tile_their_frame() -> None:
    sites = np.random.default_rng(1).uniform(0, 50, (6, 2))
    cells = voronoi_cells(sites, rectangle(0, 0, 50, 50).solids[0])
    covers = np.zeros((50, 50))
    for cell, site in zip(cells, sites, strict=True):
        window, cover = coverage(cell, (50, 50))
        covers[window] += cover / 255
        assert cover[tuple(site[::-1].astype(int) - [w.start for w in window])] > 0
    assert np.abs(covers - 1).max() < 0.6
    assert np.median(covers) == 1


def test_what_is_painted_later_hides_what_is_behind_it(canvas: Canvas) -> None:
    canvas.paint(Part("back", rectangle(10, 10, 40, 40)))
    canvas.paint(Part("front", rectangle(20, 0, 30, 64)))
    back = np.zeros((64, 64), bool)
    back[10:40, 10:40] = True
    back[:, 20:30] = False
    assert np.array_equal(canvas.visible(0), back)
    assert canvas.areas() == [600, 640]


def test_a_whole_holds_its_parts_and_parts_inside_are_cut_to_it(canvas: Canvas) -> None:
    handle = Part("handle", rectangle(40, 20, 50, 30))
    label = Part("label", rectangle(0, 20, 64, 30), inside=True)
    canvas.paint(Part("cup", rectangle(10, 10, 40, 40), [handle, label]))
    assert canvas.areas() == [1000, 100, 300]
    assert canvas.parents == [None, 0, 0]


@pytest.mark.parametrize(
    "build",
    [*things.EVERYDAY, parts.plain, specimens.roof, specimens.vehicle, specimens.bush,
     specimens.cell, specimens.nucleus, specimens.body, specimens.vessels],
)  # fmt: skip
def test_every_thing_fills_its_unit_frame(build) -> None:
    for seed in range(3):
        thing = build(np.random.default_rng(seed))
        vertices = np.concatenate([p for o in thing.silhouette() for p in o.solids])
        assert 0.5 < np.abs(vertices).max() < 2.5


def test_colours_are_kept_apart_from_what_lies_behind() -> None:
    grey = np.full(3, 0.4)
    assert np.abs(apart(grey + 0.01, grey, 0.2) - grey).max() >= 0.2
    assert np.array_equal(apart(grey + 0.5, grey, 0.2), grey + 0.5)
