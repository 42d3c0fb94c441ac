"""Things seen from above, through a microscope or in a scanner."""

from sam_train.data.drawing.outlines import blob, branches, capsule, ellipse, rectangle
from sam_train.data.drawing.parts import Part, Rng, patch


def roof(rng: Rng) -> Part:
    """A building from above: a rectangle, some with a shaded slope, a wing or a skylight."""
    height = rng.uniform(0.4, 1)
    wing = rectangle(-1, -height, rng.uniform(-0.5, 0.2), -height - rng.uniform(0.2, 0.7))
    pieces = [
        Part("slope", rectangle(-1, 0, 1, height), kinship=0.85),
        Part("wing", wing, kinship=0.95),
        Part("skylight", rectangle(0.2, -height * 0.7, 0.5, -height * 0.3), kinship=0.0),
    ]
    return Part(
        "roof", rectangle(-1, -height, 1, height), [p for p in pieces if rng.random() < 0.4]
    )


def vehicle(rng: Rng) -> Part:
    length = rng.uniform(0.5, 0.8)
    windscreen = Part("windscreen", rectangle(0.15, -0.32, 0.42, 0.32), kinship=0.0)
    return Part("vehicle", capsule(-length, 0, length, 0, 0.8), [windscreen])


def bush(rng: Rng) -> Part:
    return Part("bush", blob(rng, roughness=0.35))


def cell(rng: Rng) -> Part:
    """A cell with its nucleus and nucleolus."""
    radius, (x, y) = rng.uniform(0.3, 0.6), rng.uniform(-0.15, 0.15, 2)
    core = ellipse(x, y, 0.14, 0.12)
    nucleus = blob(rng, roughness=0.15).moved(lambda points: points * radius + (x, y))
    inner = Part("nucleus", nucleus, [Part("core", core, kinship=0.3)], kinship=0.4, inside=True)
    return Part("cell", blob(rng, roughness=0.2), [inner])


def nucleus(rng: Rng) -> Part:
    stretch = rng.uniform(0.55, 1)
    outline = blob(rng, roughness=0.12).moved(lambda points: points * (1, stretch))
    return Part("nucleus", outline)


def organ(rng: Rng) -> Part:
    """A region of tissue that may hold smaller ones."""
    inner = []
    for i in range(rng.integers(0, 4)):
        focus = Part("focus", patch(rng, 0.3), kinship=0.5, inside=True)
        inner.append(Part(f"region {i}", patch(rng, rng.uniform(0.15, 0.45)), [focus], inside=True))
    return Part("organ", blob(rng, roughness=0.25), inner)


def vessels(rng: Rng) -> Part:
    return Part("vessels", branches(rng, width=rng.uniform(0.06, 0.16)))


def body(rng: Rng) -> Part:
    """A cross-section: a body that holds organs."""
    places = rng.uniform(-0.55, 0.55, (int(rng.integers(2, 7)), 2))
    organs = [organ(rng).placed(x, y, rng.uniform(0.12, 0.4)) for x, y in places]
    held = [Part(f"organ {i}", o.outline, o.parts, 0.4, inside=True) for i, o in enumerate(organs)]
    return Part("body", blob(rng, roughness=0.15), held)
