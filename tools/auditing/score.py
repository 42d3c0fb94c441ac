"""The shares of good masks in an audit, with intervals."""

import csv
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam_train.data.rle import rle_iou
from sam_train.data.sets.labeled_image import ImageSet
from tools.auditing.draw import MASKS, SAMPLE, Drawn

GOOD_IOUS = (0.75, 0.90)  # the paper's (SAM, sec. 5)
Z = 1.959964  # of the normal distribution: 95 %


@dataclass(frozen=True)
class Judged:
    """A mask of the sample, and its overlap with the true one."""

    stratum: tuple[str, str]  # phase, size
    of: int  # masks in the stratum
    iou: float


@dataclass(frozen=True)
class Share:
    """A share and its 95 % interval."""

    share: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.share:5.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


def judged(folder: Path) -> list[Judged]:
    """The masks that people judged; those without an `iou` are left out."""
    rows = []
    for number, drawn in enumerate(read_sample(folder), start=2):
        if not drawn.iou.strip():
            continue
        try:
            iou = float(drawn.iou.replace(",", "."))
        except ValueError:
            iou = math.nan
        if not 0 <= iou <= 1:
            raise ValueError(
                f"{folder / SAMPLE}, line {number}: {drawn.iou!r} is no overlap; write 0 to 1"
            )
        rows.append(Judged((drawn.phase, drawn.size), drawn.of, iou))
    if not rows:
        raise ValueError(f"no mask of {folder / SAMPLE} is judged: fill in its column iou")
    return rows


def judged_by(known: ImageSet, folder: Path) -> list[Judged]:
    """The masks by their best overlap with a known one of their image.

    An image of the key SET-KEY is also found as KEY: pools put the set's name before it.
    """
    rles = json.loads((folder / MASKS).read_text())
    sample, images = read_sample(folder), {image.key: image for image in known}
    rows = []
    for drawn in sample:
        image = images.get(drawn.key) or images.get(drawn.key.partition("-")[2])
        if image is not None:
            ious = rle_iou([rles[drawn.picture]], image.masks())
            rows.append(Judged((drawn.phase, drawn.size), drawn.of, float(ious.max(initial=0))))
    if not rows:
        raise ValueError(f"the known set has none of the images of {folder}, like {sample[0].key}")
    return rows


def read_sample(folder: Path) -> list[Drawn]:
    """The list that was drawn."""
    try:
        with (folder / SAMPLE).open(newline="", encoding="utf-8-sig") as file:  # Excel adds a mark
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
            return [Drawn(**row | {n: int(row[n]) for n in ("mask", "of")}) for row in rows]
    except FileNotFoundError as error:
        raise ValueError(f"{folder} holds no audit: draw one first") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / SAMPLE} is not as it was drawn: keep its columns") from error


def shares_table(rows: Sequence[Judged]) -> str:
    """A line for each stratum, and one for all: the strata by how many masks they have."""
    strata = by_stratum(rows)
    titles = "   ".join(f"IoU > {iou:.2f} (95 % interval)" for iou in GOOD_IOUS)
    lines = [f"{'':24} {'judged':>7} {'of':>11}   {titles}"]
    parts = [(f"{phase}, {size}", part) for (phase, size), part in sorted(strata.items())]
    for name, part in [*parts, ("all", list(rows))]:
        of = sum(strata[stratum][0].of for stratum in {row.stratum for row in part})
        shares = "   ".join(f"{good_share(part, iou)!s:26}" for iou in GOOD_IOUS)
        lines.append(f"{name:24} {len(part):7} {of:11,}   {shares}".rstrip())
    return "\n".join(lines)


def by_stratum(rows: Sequence[Judged]) -> dict[tuple[str, str], list[Judged]]:
    """The masks of each stratum that was judged."""
    strata = defaultdict[tuple[str, str], list[Judged]](list)
    for row in rows:
        strata[row.stratum].append(row)
    return strata


def good_share(rows: Sequence[Judged], iou: float) -> Share:
    """The share of masks above an IoU: that of each stratum, weighed by how many masks it has.

    The interval is Wilson's, with Kish's effective size of a sample of unequal weights.
    """
    strata = by_stratum(rows)
    weights = {name: part[0].of / len(part) for name, part in strata.items()}  # of one mask
    total = sum(weights[row.stratum] for row in rows)
    good = sum(weights[row.stratum] for row in rows if row.iou > iou)
    effective = total**2 / sum(weights[row.stratum] ** 2 for row in rows)
    return wilson(good / total, effective)


def wilson(share: float, count: float) -> Share:
    """Wilson's interval of a share among `count` (Wilson 1927)."""
    spread = Z**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    return Share(share, max(0.0, middle - half), min(1.0, middle + half))
