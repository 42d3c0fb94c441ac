"""Things to draw: trees of named parts in a unit frame, from animals and houses to cells and roofs."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from sam_train.data.drawing import outlines
from sam_train.data.drawing.outlines import (
    Number,
    Outline,
    capsule,
    ellipse,
    polygon,
    rectangle,
    stroke,
)

Rng = np.random.Generator


@dataclass(frozen=True)
class Part:
    """A piece of a thing. Parts are painted over it in their order and belong to its mask.

    Pieces of one thing with the same name look alike. `kinship` in 0..1 says how much the
    colours resemble those of the piece it belongs to; `inside` cuts it to that piece's outline.
    """

    name: str
    outline: Outline | None
    parts: list["Part"] = field(default_factory=list)
    kinship: float = 0.4
    inside: bool = False

    def moved(self, move: Callable[[np.ndarray], np.ndarray]) -> "Part":
        outline = self.outline and self.outline.moved(move)
        return replace(self, outline=outline, parts=[p.moved(move) for p in self.parts])

    def count(self) -> int:
        return 1 + sum(p.count() for p in self.parts)


def placed(part: Part, x: Number, y: Number, scale: Number) -> Part:
    return part.moved(lambda points: points * scale + (x, y))


# Things seen from the side.


def animal(rng: Rng) -> Part:
    leg, height = rng.uniform(0.35, 0.75), rng.uniform(0.22, 0.38)
    head_x, head_y, head_r = 0.7, rng.uniform(-0.55, -0.15), rng.uniform(0.17, 0.28)
    feet = np.array([-0.5, 0.35]) + rng.normal(0, 0.08, (2, 2))
    legs = [
        [Part("leg", capsule(x, 0.1, x + rng.normal(0, 0.1), 0.1 + leg, 0.13), kinship=0.9) for x in pair]
        for pair in feet
    ]
    tail = np.array([[-0.6, 0], [-0.85, rng.uniform(-0.3, 0.2)], [-0.95, rng.uniform(-0.5, 0.4)]])
    head = Part(
        "head",
        ellipse(head_x, head_y, head_r * 1.2, head_r, angle=0.3) + capsule(0.45, 0, head_x, head_y, 0.24),
        [
            Part("ear", ellipse(head_x - 0.12, head_y - head_r, 0.07, 0.16), kinship=0.7),
            Part("eye", ellipse(head_x + 0.06, head_y - 0.05, 0.045, 0.045), kinship=0.0),
            Part("snout", ellipse(head_x + head_r, head_y + 0.08, 0.1, 0.08), kinship=0.6, inside=True),
        ],
        kinship=0.85,
    )
    coat = [Part("patch", _patch(rng, 0.25), kinship=0.2, inside=True) for _ in range(rng.integers(0, 3))]
    return Part(
        "animal",
        None,
        [
            Part("tail", stroke(tail, np.array([0.12, 0.08, 0.05])), kinship=0.8),
            *legs[0],
            Part("torso", ellipse(-0.05, 0, 0.62, height), coat, kinship=1.0),
            *legs[1],
            head,
        ],
    )


def person(rng: Rng) -> Part:
    swing = rng.uniform(-0.25, 0.25, 4)
    face = [
        Part("hair", ellipse(0, -0.88, 0.17, 0.12), kinship=0.1),
        Part("eye", ellipse(-0.06, -0.75, 0.025, 0.02), kinship=0.0),
        Part("eye", ellipse(0.06, -0.75, 0.025, 0.02), kinship=0.0),
    ]
    shirt = rectangle(-0.2, -0.5, 0.2, 0.15) + ellipse(0, -0.45, 0.26, 0.12)
    hands = [
        Part("arm", capsule(0.24 * side, -0.42, 0.3 * side + bend, 0.1, 0.12),
             [Part("hand", ellipse(0.3 * side + bend, 0.13, 0.07, 0.08), kinship=0.1)], kinship=0.8)
        for side, bend in zip((-1, 1), swing[:2], strict=True)
    ]
    legs = [
        Part("leg", capsule(0.11 * side, 0.15, 0.13 * side + bend, 0.85, 0.18),
             [Part("shoe", ellipse(0.18 * side + bend, 0.93, 0.13, 0.07), kinship=0.0)], kinship=0.2)
        for side, bend in zip((-1, 1), swing[2:] / 2, strict=True)
    ]
    badge = Part("badge", _patch(rng, 0.12), kinship=0.1, inside=True)
    head = Part("head", ellipse(0, -0.76, 0.15, 0.2), face, kinship=0.1)
    return Part("person", None, [*legs, Part("shirt", shirt, [badge], kinship=1.0), *hands, head])


def car(rng: Rng) -> Part:
    roof, nose = rng.uniform(-0.55, -0.35), rng.uniform(-0.1, 0.1)
    body = polygon((-1, 0.3), (-0.98, -0.08), (-0.6, -0.1), (-0.4, roof), (0.3, roof), (0.55, -0.1),
                   (0.95, nose), (1, 0.3))
    windows = [
        Part("window", polygon((-0.5, -0.1), (-0.36, roof + 0.08), (-0.08, roof + 0.08), (-0.08, -0.1)), kinship=0.0),
        Part("window", polygon((0, -0.1), (0, roof + 0.08), (0.26, roof + 0.08), (0.44, -0.1)), kinship=0.0),
    ]
    wheels = [_wheel(x, 0.3, rng.uniform(0.19, 0.26)) for x in (-0.58, 0.58)]
    light = Part("light", ellipse(0.92, 0.08, 0.07, 0.06), kinship=0.0, inside=True)
    return Part("car", body, [*windows, light, *wheels])


def _wheel(x: float, y: float, radius: float) -> Part:
    hub = Part("hub", ellipse(x, y, radius * 0.55, radius * 0.55), kinship=0.0)
    return Part("wheel", ellipse(x, y, radius, radius), [hub], kinship=0.0)


def bicycle(rng: Rng) -> Part:
    tyres = [Part("tyre", _hoop(x, 0.35, 0.42, 0.36)) for x in (-0.55, 0.55)]
    frame = np.array([[-0.55, 0.35], [-0.2, -0.2], [0.4, -0.25], [0, 0.35], [-0.2, -0.2]])
    bars = stroke(frame, np.full(5, rng.uniform(0.06, 0.1))) + capsule(0.55, 0.35, 0.35, -0.5, 0.07)
    saddle = Part("saddle", capsule(-0.4, -0.32, -0.1, -0.32, 0.1), kinship=0.0)
    return Part("bicycle", None, [*tyres, Part("frame", bars), saddle])


def _hoop(x: float, y: float, outer: float, inner: float) -> Outline:
    return Outline(ellipse(x, y, outer, outer).solids, ellipse(x, y, inner, inner).solids)


def house(rng: Rng) -> Part:
    width, eaves = rng.uniform(0.5, 0.9), rng.uniform(-0.35, 0.0)
    columns, rows = int(rng.integers(2, 4)), int(rng.integers(1, 3))
    panes = []
    for x in np.linspace(-width, width, columns + 1)[:-1] + width / columns:
        for y in np.linspace(eaves, 0.9, rows + 2)[1:-1]:
            glass = Part("pane", rectangle(x - 0.1, y - 0.13, x - 0.01, y + 0.12), kinship=0.3)
            panes.append(Part("window", rectangle(x - 0.12, y - 0.15, x + 0.12, y + 0.14), [glass], kinship=0.0))
    door_x = rng.uniform(-0.6, 0.6) * width
    knob = Part("knob", ellipse(door_x + 0.07, 0.68, 0.025, 0.025), kinship=0.0)
    door = Part("door", rectangle(door_x - 0.11, 0.45, door_x + 0.11, 0.9), [knob], kinship=0.0)
    chimney = Part("chimney", rectangle(0.25 * width, -0.85, 0.25 * width + 0.14, eaves), kinship=0.4)
    eave = width + rng.uniform(0.02, 0.2)
    roof = Part("roof", polygon((-eave, eaves), (rng.uniform(-0.5, 0), -0.9), (0.2, -0.9), (eave, eaves)), kinship=0.0)
    walls = Part("walls", rectangle(-width, eaves - 0.02, width, 0.9), [*panes, door], kinship=1.0)
    return Part("house", None, [walls, chimney, roof])


def plant(rng: Rng) -> Part:
    trunk = Part("trunk", stroke(np.array([[0.05, 1], [0, 0.4], [0, -0.3]]), np.array([0.22, 0.15, 0.08])))
    tufts = [_patch(rng, rng.uniform(0.25, 0.5)) for _ in range(rng.integers(3, 8))]
    crown = Outline([p * (1, 0.8) + (0, -0.35) for tuft in tufts for p in tuft.solids])
    fruit = [
        Part("fruit", ellipse(*rng.uniform((-0.4, -0.6), (0.4, 0.0)), 0.07, 0.07), kinship=0.0, inside=True)
        for _ in range(rng.choice([0, 0, 3, 5]))
    ]
    return Part("plant", None, [trunk, Part("crown", crown, fruit, kinship=0.2)])


def flower(rng: Rng) -> Part:
    count = int(rng.integers(5, 10))
    petals = [
        Part("petal", ellipse(0.42 * np.cos(a), 0.42 * np.sin(a) - 0.3, 0.32, 0.5 / np.sqrt(count), angle=a), kinship=1.0)
        for a in np.arange(count) * 2 * np.pi / count + rng.uniform(0, 1)
    ]
    stem = Part("stem", stroke(np.array([[0, -0.3], [0.06, 0.4], [0, 1]]), np.full(3, 0.07)), kinship=0.0)
    leaf = Part("leaf", ellipse(0.25, 0.6, 0.25, 0.09, angle=-0.4), kinship=0.0)
    centre = Part("centre", ellipse(0, -0.3, 0.17, 0.17), kinship=0.0)
    return Part("flower", None, [stem, leaf, Part("blossom", None, [*petals, centre], kinship=1.0)])


def vessel(rng: Rng) -> Part:
    """A bottle, vase, cup or lamp: a profile turned about its axis, with cap, label and handle."""
    heights = np.linspace(-0.9, 0.9, 24)
    knots = rng.uniform(0.15, 0.6, 5)
    profile = np.interp(heights, np.linspace(-0.9, 0.9, 5), np.sort(knots) if rng.random() < 0.5 else knots)
    right = np.stack([profile, heights], axis=1)
    body = Outline([np.vstack([right, (right * (-1, 1))[::-1]])])
    top, low = rng.uniform(-0.3, 0.0), rng.uniform(0.2, 0.7)
    mark = Part("mark", _patch(rng, 0.15).moved(lambda p: p * (0.5, 0.5) + (0, (top + low) / 2)), kinship=0.0, inside=True)
    label = Part("label", rectangle(-0.7, top, 0.7, low), [mark], kinship=0.1, inside=True)
    cap = Part("cap", rectangle(-profile[0] * 1.1, -1.0, profile[0] * 1.1, -0.8), kinship=0.1)
    handle = Part("handle", _hoop(0.5, 0.1, 0.3, 0.22), kinship=0.8)
    extras = [[label], [cap], [label, cap], []][int(rng.integers(4))]
    behind = [handle] if rng.random() < 0.3 else []
    return Part("vessel", None, [*behind, Part("body", body, extras, kinship=1.0)])


def box(rng: Rng) -> Part:
    """A box in parallel projection: three faces and a print on the front."""
    dx, dy = rng.uniform(0.2, 0.5), rng.uniform(0.15, 0.45)
    x, y = 1 - dx, 1 - dy
    front = rectangle(-1, dy - 1 + 0.0, x - dx, 1 - 0.0)
    left, right, top, bottom = -1.0, x - dx, dy - 1, 1.0
    side = polygon((right, top), (right + dx, top - dy), (right + dx, bottom - dy), (right, bottom))
    lid = polygon((left, top), (left + dx, top - dy), (right + dx, top - dy), (right, top))
    sign = Part("print", _patch(rng, 0.3), kinship=0.0, inside=True)
    faces = [Part("side", side, kinship=0.8), Part("lid", lid, kinship=0.85)]
    return Part("box", None, [*faces, Part("front", front, [sign] if y > 0.6 else [], kinship=1.0)])


def furniture(rng: Rng) -> Part:
    top, thick = rng.uniform(-0.4, 0.3), rng.uniform(0.1, 0.25)
    legs = [Part("leg", rectangle(x - 0.06, top, x + 0.06, 0.95), kinship=0.9) for x in (-0.75, -0.45, 0.45, 0.75)]
    seat = Part("seat", rectangle(-0.85, top, 0.85, top + thick), kinship=1.0)
    back = Part("back", rectangle(-0.8, top - 0.6, -0.65, top), kinship=0.8)
    on_top = placed(vessel(rng), rng.uniform(-0.3, 0.5), top - 0.25, 0.26)
    return Part("furniture", None, [*legs, seat, [back, on_top][int(rng.integers(2))]])


def fish(rng: Rng) -> Part:
    fins = [
        Part("fin", polygon((-0.1, 0), (-0.45, side * 0.65), (0.3, side * 0.1)), kinship=0.6) for side in (-1, 1)
    ]
    tail = Part("tail", polygon((-0.5, 0), (-1, -0.4), (-0.85, 0), (-1, 0.4)), kinship=0.6)
    band = Part("band", rectangle(rng.uniform(-0.4, 0), -1, rng.uniform(0.05, 0.25), 1), kinship=0.1, inside=True)
    eye = Part("eye", ellipse(0.5, -0.08, 0.09, 0.09), [Part("pupil", ellipse(0.51, -0.08, 0.045, 0.045))], kinship=0.0)
    body = Part("body", ellipse(0.05, 0, 0.75, rng.uniform(0.25, 0.42)), [band, eye], kinship=1.0)
    return Part("fish", None, [tail, *fins, body])


def boat(rng: Rng) -> Part:
    hull = Part("hull", polygon((-0.9, 0.4), (0.95, 0.35), (0.6, 0.85), (-0.6, 0.85)),
                [Part("line", rectangle(-1, 0.6, 1, 0.68), kinship=0.0, inside=True)], kinship=1.0)
    sail = Part("sail", polygon((0.05, -0.9), (rng.uniform(0.5, 0.85), 0.25), (0.05, 0.25)), kinship=0.0)
    jib = Part("jib", polygon((-0.05, -0.7), (-0.6, 0.25), (-0.05, 0.25)), kinship=0.0)
    return Part("boat", None, [hull, Part("mast", capsule(0, -0.95, 0, 0.4, 0.06), kinship=0.1), sail, jib])


def plain(rng: Rng) -> Part:
    """One elementary outline, often with pieces of its own."""
    outline = random_outline(rng)
    piece = Part("piece", None)
    kind = rng.integers(4)
    if kind == 0:
        return Part("plain", outline)
    if kind == 1:
        pieces = [replace(piece, outline=_patch(rng, rng.uniform(0.15, 0.4))) for _ in range(rng.integers(1, 4))]
    elif kind == 2:
        inner = outline.moved(lambda p: p * rng.uniform(0.45, 0.75))
        pieces = [replace(piece, outline=inner, parts=[Part("core", _patch(rng, 0.25), inside=True)])]
    else:
        at = rng.uniform(-0.5, 0.3)
        pieces = [replace(piece, outline=rectangle(at, -1, at + rng.uniform(0.2, 0.5), 1))]
    kinship = rng.uniform(0, 0.7)
    return Part("plain", outline, [replace(p, inside=True, kinship=kinship) for p in pieces])


def random_outline(rng: Rng) -> Outline:
    draw = rng.choice(
        [_disc, _slab, outlines.blob, outlines.blob, outlines.blob, outlines.spiky, outlines.ring,
         outlines.crescent, outlines.curve, outlines.branches, outlines.letter]
    )
    return draw(rng)


def _disc(rng: Rng) -> Outline:
    return ellipse(0, 0, 1, rng.uniform(0.4, 1))


def _slab(rng: Rng) -> Outline:
    height = rng.uniform(0.15, 0.9)
    return [rectangle(-1, -height, 1, height), capsule(-0.8, 0, 0.8, 0, height * 0.6)][int(rng.integers(2))]


def _patch(rng: Rng, radius: float) -> Outline:
    """A small blob at a random place near the middle."""
    centre = rng.uniform(-0.45, 0.45, 2)
    return outlines.blob(rng, roughness=rng.choice([0.05, 0.35])).moved(lambda p: p * radius + centre)


# Things seen from above, and through a microscope or scanner.


def roof(rng: Rng) -> Part:
    height = rng.uniform(0.4, 1)
    ridge = Part("slope", rectangle(-1, 0, 1, height), kinship=0.85)
    wing = Part("wing", rectangle(-1, -height, rng.uniform(-0.5, 0.2), -height - rng.uniform(0.2, 0.7)), kinship=0.95)
    skylight = Part("skylight", rectangle(0.2, -height * 0.7, 0.5, -height * 0.3), kinship=0.0)
    chosen = [p for p in (ridge, wing, skylight) if rng.random() < 0.4]
    return Part("roof", rectangle(-1, -height, 1, height), chosen)


def vehicle(rng: Rng) -> Part:
    body = stroke(np.array([[-0.6, 0.0], [0.6, 0.0]]), np.array([0.8, 0.8]))
    return Part("vehicle", body, [Part("windscreen", rectangle(0.15, -0.32, 0.42, 0.32), kinship=0.0)])


def bush(rng: Rng) -> Part:
    return Part("bush", outlines.blob(rng, roughness=0.35))


def cell(rng: Rng) -> Part:
    nucleus = outlines.blob(rng, roughness=0.15).moved(lambda p: p * rng.uniform(0.3, 0.6) + rng.uniform(-0.15, 0.15, 2))
    core = Part("nucleolus", ellipse(*rng.uniform(-0.15, 0.15, 2), 0.14, 0.12), kinship=0.3, inside=True)
    return Part("cell", outlines.blob(rng, roughness=0.2), [Part("nucleus", nucleus, [core], kinship=0.4, inside=True)])


def nucleus(rng: Rng) -> Part:
    stretch = rng.uniform(0.55, 1)
    return Part("nucleus", outlines.blob(rng, roughness=0.12).moved(lambda p: p * (1, stretch)))


def organ(rng: Rng) -> Part:
    """A region of tissue that holds smaller ones."""
    inner = [
        Part(f"region{i}", _patch(rng, rng.uniform(0.15, 0.45)),
             [Part("focus", _patch(rng, 0.3), kinship=0.5, inside=True)], kinship=0.4, inside=True)
        for i in range(rng.integers(0, 4))
    ]
    return Part("organ", outlines.blob(rng, roughness=0.25), inner)


def vessels(rng: Rng) -> Part:
    return Part("vessels", outlines.branches(rng, width=rng.uniform(0.06, 0.16)))


EVERYDAY = (animal, person, car, bicycle, house, plant, flower, vessel, box, furniture, fish, boat)
