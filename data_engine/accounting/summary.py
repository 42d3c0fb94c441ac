"""The figures of the accounting page: what a mask costs, and how well people agree."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from data_engine.accounting.ledger import Entry, GoldEntry, Ledger
from data_engine.annotation.overlap import best_iou
from data_engine.people.drawing.actions import WHOLE_IMAGE
from data_engine.rounds import finished_rounds
from sam_train.data.rle import Rle

Row = dict[str, Any]


def costs_of(entries: Iterable[Entry], key: Callable[[Entry], tuple], names: Sequence[str]) -> list:
    """Images, masks, seconds, clicks and strokes of the entries, grouped by a key of `names`.

    Only annotation counts, not review; per mask means per new mask.
    """
    groups: dict[tuple, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.kind == "annotate":
            groups[key(entry)].append(entry)
    rows = []
    for group, part in sorted(groups.items()):
        masks = sum(entry.is_new_mask for entry in part)
        images = len({entry.task for entry in part})
        totals = {
            name: sum(getattr(entry, name) for entry in part)
            for name in ("seconds", "clicks", "boxes", "strokes")
        }
        rows.append(
            dict(zip(names, group, strict=True))
            | {"images": images, "masks": masks, "masks_per_image": masks / images}
            | {"seconds": round(totals["seconds"], 1)}
            | {f"{name}_per_mask": ratio(total, masks) for name, total in totals.items()}
        )
    return rows


def reviews_of(entries: Iterable[Entry]) -> list[Row]:
    """What was said of each person's masks: how many, how often what, and the mean IoU.

    Seconds on the image as a whole are shared by the masks that were judged in it.
    """
    entries = [entry for entry in entries if entry.kind == "review"]
    judged = Counter(entry.task for entry in entries if entry.verdict)
    whole: dict[str, float] = defaultdict(float)
    for entry in entries:
        whole[entry.task] += entry.seconds if entry.object == WHOLE_IMAGE else 0.0
    groups: dict[tuple, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.verdict is not None:
            groups[entry.maker or "unknown", entry.annotator].append(entry)
    return [
        {"maker": maker, "reviewer": reviewer, "masks": len(part)}
        | {
            state: sum(entry.verdict == state for entry in part)
            for state in ("accepted", "corrected", "rejected")
        }
        | {"iou": fmean(entry.iou or 0.0 for entry in part)}
        | {"seconds_per_mask": fmean(e.seconds + whole[e.task] / judged[e.task] for e in part)}
        for (maker, reviewer), part in sorted(groups.items())
    ]


def gold_of(gold: Iterable[GoldEntry]) -> list[Row]:
    """Each annotator against the known masks: mean IoU, and how many were found at all."""
    groups: dict[str, list[GoldEntry]] = defaultdict(list)
    for entry in gold:
        groups[entry.annotator].append(entry)
    return [
        {
            "annotator": name,
            "images": len({entry.image for entry in part}),
            "known_masks": len(part),
            "iou": fmean(entry.iou for entry in part),
            "found": fmean(entry.iou >= 0.5 for entry in part),
        }
        for name, part in sorted(groups.items())
    ]


def agreement_of(drawings: Mapping[tuple[str, str], list[Rle]]) -> list[Row]:
    """Pairs of annotators who drew the same gold images: the mean IoU of each mask with the best
    of the other's, both ways."""
    by_image: dict[str, dict[str, list[Rle]]] = defaultdict(dict)
    for (image, name), masks in drawings.items():
        by_image[image][name] = masks
    overlaps: dict[tuple[str, str], list[float]] = defaultdict(list)
    for drawn in by_image.values():
        for one, other in combinations(sorted(drawn), 2):
            ious = overlaps[one, other]
            ious += best_iou(drawn[one], drawn[other]).tolist()
            ious += best_iou(drawn[other], drawn[one]).tolist()
    return [
        {"annotators": f"{one}, {other}", "masks": len(ious), "iou": fmean(ious)}
        for (one, other), ious in sorted(overlaps.items())
        if ious
    ]


def over_time(entries: list[Entry], gold: list[GoldEntry]) -> list[Row]:
    """By hour and annotator: masks, seconds a mask, what reviews said of them, IoU with gold."""
    rows = costs_of(entries, lambda e: (hour(e.finished_at), e.annotator), ("hour", "annotator"))
    for row in rows:
        at, name = row["hour"], row["annotator"]
        said = [e.iou or 0.0 for e in entries if e.maker == name and hour(e.finished_at) == at]
        known = [e.iou for e in gold if e.annotator == name and hour(e.finished_at) == at]
        row["review_iou"] = fmean(said) if said else None
        row["gold_iou"] = fmean(known) if known else None
    return rows


def gains_of(run_dir: Path | None) -> list[Row]:
    """The rounds of the loop: what the model gained for an hour of annotation."""
    if run_dir is None:
        return []
    rows = [turn.summary for turn in finished_rounds(run_dir)]
    keys = ("round", "phase", "masks_per_image", "seconds_per_mask", "annotator_hours")
    gains = ("iou_at_1", "iou_at_3", "iou_at_5", "iou_gain_per_hour")
    return [{key: row.get(key) for key in (*keys, *gains)} for row in rows]


def summary(ledger: Ledger, run_dir: Path | None = None) -> dict[str, list[Row]]:
    """The tables of the page by their titles, those that hold anything."""
    entries, gold = ledger.entries(), ledger.gold()
    tables = {
        "By phase and round": costs_of(entries, lambda e: (e.phase, e.round), ("phase", "round")),
        "By annotator": costs_of(
            entries, lambda e: (e.phase, e.round, e.annotator), ("phase", "round", "annotator")
        ),
        "Over time (hours in UTC)": over_time(entries, gold),
        "Reviews: whose masks, judged by whom": reviews_of(entries),
        "Against known masks (gold images)": gold_of(gold),
        "Between annotators (gold images)": agreement_of(ledger.gold_drawings()),
        "What the model gained": gains_of(run_dir),
    }
    return {title: rows for title, rows in tables.items() if rows}


def hour(finished_at: float) -> str:
    return f"{datetime.fromtimestamp(finished_at, UTC):%Y-%m-%d %H:00}"


def ratio(total: int | float, count: int) -> float | None:
    return total / count if count else None
