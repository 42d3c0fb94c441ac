"""The datasheet of a dataset version, or of two side by side: one HTML page that stands alone."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from markupsafe import Markup

from data_engine.annotation.accounting import MACHINES
from sam_train.data.store.tags import manifest_path
from sam_train.evaluation.figures import bars
from sam_train.evaluation.page import machine, render_page
from tools.analytics.contact_sheet import contact_sheet
from tools.analytics.figures import centre_map, distribution, size_classes
from tools.analytics.indexed_version import IndexedVersion
from tools.analytics.queries import MEASURES

MASKS_PER_IMAGE = [0, 1, 2, 5, 10, 20, 50, 100, 200]  # the least of each class
COSTS = {"seconds": "seconds per mask", "clicks": "clicks per mask"}


def datasheet_page(versions: Sequence[IndexedVersion], *, command: str, pictures: int) -> str:
    """Renders the page. The last version is the one that is described, the first its comparison."""
    return render_page(
        "datasheet.html.j2",
        folder=Path(__file__).parent,
        name=versions[-1].root.absolute().name,
        versions=versions,
        distributions=distributions(versions),
        centres=[centre_map(version.name, version.centres()) for version in versions],
        costs=cost_figures(versions[-1].phases),
        machines=MACHINES,
        sheet=contact_sheet(versions, pictures),
        command=command,
        facts={version.name: origin(version) for version in versions},
        machine=machine(),
    )


def distributions(versions: Sequence[IndexedVersion]) -> list[Markup]:
    """Masks per image, and every measure of a mask that any version has."""
    classes = {version.name: classed(version.masks_per_image()) for version in versions}
    figures = [size_classes("Masks of an image", classes, class_names())]
    for name, measure in MEASURES.items():
        counts = {version.name: version.histogram(name) for version in versions}
        edges = np.linspace(measure.low, measure.high, measure.bins + 1).tolist()
        if any(count.any() for count in counts.values()):
            figures.append(distribution(measure.title, counts, edges, log10=measure.log10))
    return figures


def classed(masks_per_image: dict[int, int]) -> Int[np.ndarray, " bins"]:
    """Images by the classes of `MASKS_PER_IMAGE`."""
    counts = np.zeros(len(MASKS_PER_IMAGE), np.int64)
    for masks, images in masks_per_image.items():
        counts[np.searchsorted(MASKS_PER_IMAGE, masks, side="right") - 1] += images
    return counts


def class_names() -> list[str]:
    """`0`, `1`, `2-4`, ..., `200+`."""
    pairs = zip(MASKS_PER_IMAGE, MASKS_PER_IMAGE[1:], strict=False)
    names = [str(low) if high == low + 1 else f"{low}-{high - 1}" for low, high in pairs]
    return [*names, f"{MASKS_PER_IMAGE[-1]}+"]


def cost_figures(phases: Sequence[dict[str, Any]]) -> list[Markup]:
    """What masks cost people, by round; nothing if no person made any."""
    rows = [row for row in phases if row["annotator"] not in {None, *MACHINES}]
    names = [f"{row['round']} {row['phase']}, {row['annotator']}".replace("_", " ") for row in rows]
    if not rows:
        return []
    return [bars(title, names, [row[key] for row in rows]) for key, title in COSTS.items()]


def origin(version: IndexedVersion) -> dict[str, Any]:
    """Which version this is, and what made it."""
    manifest = asdict(version.manifest)
    path = manifest_path(version.root, version.manifest.version)
    made = ("parent", "phase", "round", "created", "model_sha256", "config_sha256")
    return {
        "dataset": str(version.root),
        "manifest sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "shards": len(version.manifest.shards),
        **{key.replace("_", " "): manifest[key] for key in made},
        "code": manifest["code_version"],
    }
