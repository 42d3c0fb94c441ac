"""Things seen from the side: animals, people, plants, vehicles, houses and household goods."""

import numpy as np

from sam_train.data.drawing.outlines import (
    Number,
    Outline,
    capsule,
    circle_points,
    ellipse,
    letter,
    polygon,
    rectangle,
    stroke,
)
from sam_train.data.drawing.parts import Part, Rng, patch


def animal(rng: Rng) -> Part:
    length, height = rng.uniform(0.35, 0.75), rng.uniform(0.22, 0.38)
    legs = [
        Part("leg", capsule(x, 0.1, x + rng.normal(0, 0.1), 0.1 + length, 0.13), kinship=0.9)
        for x in np.array([-0.5, 0.3, -0.4, 0.42]) + rng.normal(0, 0.06, 4)
    ]
    tip = rng.uniform((-1.0, -0.5), (-0.85, 0.4))
    tail = stroke(np.array([[-0.6, 0], [-0.85, -0.05], tip]), np.array([0.12, 0.08, 0.05]))
    spots = [
        Part("patch", patch(rng, 0.25), kinship=0.2, inside=True) for _ in range(rng.integers(3))
    ]
    torso = Part("torso", ellipse(-0.05, 0, 0.62, height), spots, kinship=1.0)
    return Part(
        "animal",
        None,
        [Part("tail", tail, kinship=0.8), *legs[:2], torso, *legs[2:], _animal_head(rng)],
    )


def _animal_head(rng: Rng) -> Part:
    x, y, radius = 0.7, rng.uniform(-0.55, -0.15), rng.uniform(0.17, 0.28)
    skull = ellipse(x, y, radius * 1.2, radius, angle=0.3) + capsule(0.45, 0, x, y, 0.24)
    snout = ellipse(x + radius, y + 0.08, 0.12, 0.1)
    features = [
        Part("ear", ellipse(x - 0.12, y - radius, 0.07, 0.16), kinship=0.7),
        Part("eye", ellipse(x + 0.06, y - 0.05, 0.05, 0.05), kinship=0.0),
        Part("snout", snout, kinship=0.6, inside=True),
    ]
    return Part("head", skull, features, kinship=0.85)


def person(rng: Rng) -> Part:
    limbs = []
    for side in (-1, 1):
        knee, elbow = 0.13 * side + rng.uniform(-0.12, 0.12), 0.3 * side + rng.uniform(-0.25, 0.25)
        shoe = Part("shoe", ellipse(knee + 0.05 * side, 0.93, 0.13, 0.07), kinship=0.0)
        hand = Part("hand", ellipse(elbow, 0.13, 0.07, 0.08), kinship=0.1)
        leg = capsule(0.11 * side, 0.15, knee, 0.85, 0.18)
        arm = capsule(0.24 * side, -0.42, elbow, 0.1, 0.12)
        limbs += [Part("leg", leg, [shoe], 0.2), Part("arm", arm, [hand], 0.8)]
    badge = Part("badge", patch(rng, 0.12), kinship=0.1, inside=True)
    shirt = rectangle(-0.2, -0.5, 0.2, 0.15) + ellipse(0, -0.45, 0.26, 0.12)
    face = [
        Part("hair", ellipse(0, -0.88, 0.17, 0.12), kinship=0.1),
        *[Part("eye", ellipse(x, -0.75, 0.03, 0.02), kinship=0.0) for x in (-0.06, 0.06)],
    ]
    head = Part("head", ellipse(0, -0.76, 0.15, 0.2), face, kinship=0.1)
    return Part(
        "person", None, [*limbs[::2], Part("shirt", shirt, [badge], 1.0), *limbs[1::2], head]
    )


def bird(rng: Rng) -> Part:
    spread, head_y = rng.uniform(0.3, 0.9), rng.uniform(-0.35, 0.0)
    wing = polygon((0.25, -0.05), (-0.35, 0.0), (-0.5, -spread), (-0.1, -spread * 0.8))
    face = [
        Part("eye", ellipse(0.66, head_y - 0.04, 0.04, 0.04), kinship=0.0),
        Part("beak", polygon((0.75, head_y - 0.07), (1, head_y), (0.75, head_y + 0.07)), [], 0.0),
    ]
    tail = Part("tail", polygon((-0.4, 0), (-1, -0.15), (-0.95, 0.2)), kinship=0.6)
    head = Part("head", ellipse(0.62, head_y, 0.19, 0.17), face, kinship=0.6)
    body = Part("body", ellipse(0.05, 0, 0.6, 0.26), kinship=1.0)
    return Part("bird", None, [tail, body, head, Part("wing", wing, kinship=0.6)])


def fish(rng: Rng) -> Part:
    fins = [
        Part("fin", polygon((-0.1, 0), (-0.45, side * 0.65), (0.3, side * 0.1)), kinship=0.6)
        for side in (-1, 1)
    ]
    tail = Part("tail", polygon((-0.5, 0), (-1, -0.4), (-0.85, 0), (-1, 0.4)), kinship=0.6)
    start = rng.uniform(-0.4, 0)
    band = Part("band", rectangle(start, -1, start + 0.3, 1), kinship=0.1, inside=True)
    pupil = Part("pupil", ellipse(0.51, -0.08, 0.045, 0.045), kinship=0.0)
    eye = Part("eye", ellipse(0.5, -0.08, 0.09, 0.09), [pupil], kinship=0.0)
    body = ellipse(0.05, 0, 0.75, rng.uniform(0.25, 0.42))
    return Part("fish", None, [tail, *fins, Part("body", body, [band, eye], kinship=1.0)])


def plant(rng: Rng) -> Part:
    trunk = stroke(np.array([[0.05, 1], [0, 0.4], [0, -0.3]]), np.array([0.22, 0.15, 0.08]))
    tufts = [patch(rng, rng.uniform(0.25, 0.5)) for _ in range(rng.integers(3, 8))]
    crown = Outline([points * (1, 0.8) + (0, -0.35) for tuft in tufts for points in tuft.solids])
    places = rng.uniform((-0.4, -0.6), (0.4, 0.0), (rng.choice([0, 0, 3, 5]), 2))
    fruit = [Part("fruit", ellipse(x, y, 0.07, 0.07), [], 0.0, inside=True) for x, y in places]
    return Part("plant", None, [Part("trunk", trunk), Part("crown", crown, fruit, kinship=0.2)])


def flower(rng: Rng) -> Part:
    count = int(rng.integers(5, 10))
    width = 0.5 / np.sqrt(count)
    petals = [
        Part(
            "petal", ellipse(0.42 * x, 0.42 * y - 0.3, 0.32, width, angle=np.arctan2(y, x)), [], 1.0
        )
        for x, y in circle_points(count)
    ]
    centre = Part("centre", ellipse(0, -0.3, 0.17, 0.17), kinship=0.0)
    stem = Part(
        "stem", stroke(np.array([[0, -0.3], [0.06, 0.4], [0, 1]]), np.full(3, 0.07)), [], 0.0
    )
    leaf = Part("leaf", ellipse(0.25, 0.6, 0.25, 0.09, angle=-0.4), kinship=0.0)
    return Part("flower", None, [stem, leaf, Part("blossom", None, [*petals, centre], kinship=1.0)])


def car(rng: Rng) -> Part:
    roof, nose = rng.uniform(-0.55, -0.35), rng.uniform(-0.1, 0.1)
    lower = [(0.95, nose), (1, 0.3), (-1, 0.3), (-0.98, -0.08)]
    body = polygon((-0.6, -0.1), (-0.4, roof), (0.3, roof), (0.55, -0.1), *lower)
    top = roof + 0.08
    rear = polygon((-0.5, -0.1), (-0.36, top), (-0.08, top), (-0.08, -0.1))
    front = polygon((0, -0.1), (0, top), (0.26, top), (0.44, -0.1))
    windows = [Part("window", outline, kinship=0.0) for outline in (rear, front)]
    radius = rng.uniform(0.19, 0.26)
    wheels = [_wheel(-0.58, 0.3, radius), _wheel(0.58, 0.3, radius)]
    light = Part("light", ellipse(0.92, 0.08, 0.07, 0.06), kinship=0.0, inside=True)
    return Part("car", body, [*windows, light, *wheels])


def _wheel(x: Number, y: Number, radius: Number) -> Part:
    hub = Part("hub", ellipse(x, y, radius * 0.55, radius * 0.55), kinship=0.0)
    return Part("wheel", ellipse(x, y, radius, radius), [hub], kinship=0.0)


def _hoop(x: Number, y: Number, outer: Number, inner: Number) -> Outline:
    return Outline(ellipse(x, y, outer, outer).solids, ellipse(x, y, inner, inner).solids)


def bicycle(rng: Rng) -> Part:
    tyres = [Part("tyre", _hoop(x, 0.35, 0.42, 0.34), kinship=0.0) for x in (-0.55, 0.55)]
    frame = np.array([[-0.55, 0.35], [-0.2, -0.2], [0.4, -0.25], [0, 0.35], [-0.2, -0.2]])
    bars = stroke(frame, np.full(5, rng.uniform(0.06, 0.1))) + capsule(0.55, 0.35, 0.35, -0.5, 0.07)
    saddle = Part("saddle", capsule(-0.4, -0.32, -0.1, -0.32, 0.1), kinship=0.0)
    return Part("bicycle", None, [*tyres, Part("frame", bars), saddle])


def boat(rng: Rng) -> Part:
    line = Part("line", rectangle(-1, 0.6, 1, 0.68), kinship=0.0, inside=True)
    hull = Part("hull", polygon((-0.9, 0.4), (0.95, 0.35), (0.6, 0.85), (-0.6, 0.85)), [line], 1.0)
    sails = [
        Part("sail", polygon((0.05, -0.9), (rng.uniform(0.5, 0.85), 0.25), (0.05, 0.25)), [], 0.0),
        Part("jib", polygon((-0.05, -0.7), (-0.6, 0.25), (-0.05, 0.25)), kinship=0.0),
    ]
    mast = Part("mast", capsule(0, -0.95, 0, 0.4, 0.06), kinship=0.1)
    return Part("boat", None, [hull, mast, *sails])


def house(rng: Rng) -> Part:
    width, eaves = rng.uniform(0.5, 0.9), rng.uniform(-0.35, 0.0)
    columns = np.linspace(-width, width, int(rng.integers(3, 5)))
    rows = np.linspace(eaves, 0.9, int(rng.integers(3, 5)))
    windows = [
        _window(x, y)
        for x in (columns[1:] + columns[:-1]) / 2
        for y in (rows[1:-1] + rows[:-2]) / 2
    ]
    door_x = rng.uniform(-0.6, 0.6) * width
    knob = Part("knob", ellipse(door_x + 0.07, 0.68, 0.025, 0.025), kinship=0.0)
    door = Part("door", rectangle(door_x - 0.11, 0.45, door_x + 0.11, 0.9), [knob], kinship=0.0)
    walls = Part(
        "walls", rectangle(-width, eaves - 0.02, width, 0.9), [*windows, door], kinship=1.0
    )
    chimney = rectangle(0.25 * width, -0.85, 0.25 * width + 0.14, eaves)
    edge, ridge = width + rng.uniform(0.02, 0.2), rng.uniform(-0.5, 0)
    roof = polygon((-edge, eaves), (ridge, -0.9), (0.2, -0.9), (edge, eaves))
    return Part("house", None, [walls, Part("chimney", chimney), Part("roof", roof, kinship=0.0)])


def _window(x: Number, y: Number) -> Part:
    pane = Part("pane", rectangle(x - 0.1, y - 0.12, x - 0.01, y + 0.12), kinship=0.3)
    return Part("window", rectangle(x - 0.13, y - 0.15, x + 0.13, y + 0.15), [pane], kinship=0.0)


def vase(rng: Rng) -> Part:
    """A bottle, vase or cup: a profile turned about its axis, with cap, label and handle."""
    heights, knots = np.linspace(-0.9, 0.9, 24), rng.uniform(0.15, 0.6, 5)
    profile = np.interp(heights, np.linspace(-0.9, 0.9, 5), knots)
    right = np.stack([profile, heights], axis=1)
    body = Outline([np.vstack([right, (right * (-1, 1))[::-1]])])
    print_ = Part("print", patch(rng, 0.12), kinship=0.0, inside=True)
    label = rectangle(-0.7, rng.uniform(-0.4, -0.1), 0.7, rng.uniform(0.2, 0.6))
    extras = [
        Part("label", label, [print_], kinship=0.1, inside=True),
        Part("cap", rectangle(-1.1 * profile[0], -1, 1.1 * profile[0], -0.8), kinship=0.1),
    ]
    chosen = [extra for extra in extras if rng.random() < 0.5]
    handle = [Part("handle", _hoop(0.5, 0.1, 0.3, 0.22), kinship=0.8)] if rng.random() < 0.3 else []
    return Part("vase", None, [*handle, Part("body", body, chosen, kinship=1.0)])


def box(rng: Rng) -> Part:
    """A box in parallel projection: three faces and a print on the front."""
    dx, dy = rng.uniform(0.2, 0.5), rng.uniform(0.15, 0.45)
    right, top = 1 - 2 * dx, dy - 1
    side = polygon((right, top), (right + dx, top - dy), (right + dx, 1 - dy), (right, 1))
    lid = polygon((-1, top), (dx - 1, top - dy), (right + dx, top - dy), (right, top))
    print_ = Part("print", patch(rng, 0.3), kinship=0.0, inside=True)
    front = Part("front", rectangle(-1, top, right, 1), [print_], kinship=1.0)
    return Part(
        "box", None, [Part("side", side, kinship=0.8), Part("lid", lid, kinship=0.85), front]
    )


def furniture(rng: Rng) -> Part:
    """A table with a vase on it, or a chair."""
    top, thick = rng.uniform(-0.4, 0.3), rng.uniform(0.1, 0.25)
    legs = [
        Part("leg", rectangle(x - 0.06, top, x + 0.06, 0.95), kinship=0.9)
        for x in (-0.75, -0.45, 0.45, 0.75)
    ]
    seat = Part("seat", rectangle(-0.85, top, 0.85, top + thick), kinship=1.0)
    back = Part("back", rectangle(-0.8, top - 0.6, -0.65, top), kinship=0.8)
    on_top = vase(rng).placed(rng.uniform(-0.3, 0.5), top - 0.25, 0.26)
    return Part("furniture", None, [*legs, seat, back if rng.random() < 0.5 else on_top])


def plate(rng: Rng) -> Part:
    """A plate with food, or a dial with marks."""
    food = [Part(f"food {i}", patch(rng, rng.uniform(0.15, 0.35)), [], 0.0) for i in range(3)]
    well = Part("well", ellipse(0, 0, 0.7, 0.7), food, kinship=0.8)
    return Part("plate", ellipse(0, 0, 1, 1), [well])


def sign(rng: Rng) -> Part:
    """A board with letters on a pole."""
    glyphs = [
        Part("letter", letter(rng), kinship=0.0).placed(x, -0.4, 0.22) for x in (-0.55, 0.0, 0.55)
    ]
    board = Part("board", rectangle(-0.9, -0.75, 0.9, -0.05), glyphs, kinship=1.0)
    return Part("sign", None, [Part("pole", rectangle(-0.06, -0.1, 0.06, 1), kinship=0.0), board])


EVERYDAY = (
    animal, person, bird, fish, plant, flower, car, bicycle, boat, house, vase, box, furniture,
    plate, sign,
)  # fmt: skip
