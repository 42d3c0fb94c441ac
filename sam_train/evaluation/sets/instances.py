"""COCO and LVIS json with what AP needs: categories, crowds, frequencies, and detections."""

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sam_train.data.images import image_size, read_image
from sam_train.data.records import BadSample, Rle
from sam_train.data.sets.coco_json import read_coco
from sam_train.data.sets.coco_set import coco_files, coco_rle
from sam_train.data.sets.image_folder import require_file
from sam_train.data.sets.known_masks import UnusableMask, report_orphans
from sam_train.data.sets.labeled_image import ImageList
from sam_train.data.store.bad_samples import OnBad
from sam_train.evaluation.sets.annotated_image import AnnotatedImage, Detection, Instance


class UselessDetections(BadSample):
    """Detections that no object can be compared with. They are left out."""


class InstanceSet(ImageList):
    """Images with a COCO or LVIS instances json; crowds are kept, and known as such.

    `detections` is a json list of `{image_id, category_id, bbox: XYWH, score}`. Without it the
    annotations' own boxes stand in, with score 1. Detections of unknown images or categories and
    with scores or boxes that are no numbers go to `on_bad`, or are refused.
    """

    def __init__(
        self,
        name: str,
        images: str | os.PathLike[str],
        annotations: str | os.PathLike[str],
        *,
        detections: str | os.PathLike[str] | None = None,
        on_bad: OnBad | None = None,
    ) -> None:
        coco = read_coco(annotations, name=name)
        document = json.loads(Path(annotations).expanduser().read_bytes())
        frequency = {c["id"]: c.get("frequency") for c in document.get("categories", [])}
        entries = defaultdict(list)
        for annotation in coco.annotations:
            entries[annotation["image_id"]].append(annotation)
        files, orphans = coco_files(coco, images, name=name)
        report_orphans(orphans, on_bad, name=name)
        found = None
        if detections is not None:
            ids = {entry["id"] for _, _, entry in files}
            path = require_file(detections, option="detections", name=name)
            found = read_detections(path, ids, set(frequency), name=name, on_bad=on_bad)
        super().__init__(
            name,
            [
                annotated(
                    key,
                    file,
                    entry,
                    list(coco.with_known_category(entries[entry["id"]], file, on_bad)),
                    frequency,
                    found,
                )
                for key, file, entry in files
            ],
        )


def annotated(
    key: str,
    file: Path,
    entry: dict[str, Any],
    annotations: list[dict[str, Any]],
    frequency: dict[int, str | None],
    detections: dict[int, list[Detection]] | None,
) -> AnnotatedImage:
    """An image of the json; LVIS's say which categories were looked for."""
    # Partial functions, not closures: a set goes to other processes.
    read = partial(instances, file, entry, annotations, frequency)
    lvis = "neg_category_ids" in entry
    return AnnotatedImage(
        key,
        partial(read_image, file),
        masks=partial(single_masks, read),
        instances=read,
        detections=(
            partial(own_boxes, annotations)
            if detections is None
            else partial(detections.get, entry["id"], [])
        ),
        absent=frozenset(entry["neg_category_ids"]) if lvis else None,
        not_exhaustive=frozenset(entry.get("not_exhaustive_category_ids", ())),
    )


def instances(
    file: Path,
    entry: dict[str, Any],
    annotations: list[dict[str, Any]],
    frequency: dict[int, str | None],
) -> list[Instance]:
    """The objects of one image. A json that does not fit the image is an UnusableMask."""
    size = image_size(file)
    if (entry["height"], entry["width"]) != size:
        raise UnusableMask(f"the json says another size than {size} (height, width) of {file}")
    try:
        return [
            Instance(
                category=annotation["category_id"],
                rle=coco_rle(annotation["segmentation"], size),
                area=float(annotation["area"]),
                crowd=bool(annotation.get("iscrowd", 0)),
                frequency=frequency.get(annotation["category_id"]),
            )
            for annotation in annotations
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableMask(f"an annotation of {file} cannot be read: {error}") from error


def single_masks(read: Callable[[], list[Instance]]) -> list[Rle]:
    """The masks of the objects that are no crowds."""
    return [instance.rle for instance in read() if not instance.crowd]


def own_boxes(annotations: list[dict[str, Any]]) -> list[Detection]:
    """The boxes of the annotations that are no crowds, as a detector without fault gives them."""
    single = [annotation for annotation in annotations if not annotation.get("iscrowd", 0)]
    if without := [a.get("id") for a in single if not is_box(a.get("bbox"))]:
        raise UnusableMask(f"annotation {without[0]} has no box of four numbers; add `detections`")
    return [Detection(a["category_id"], xyxy(a["bbox"]), 1.0) for a in single]


def read_detections(
    path: Path, images: set[Any], categories: set[int], *, name: str, on_bad: OnBad | None
) -> dict[Any, list[Detection]]:
    """The usable detections of each image; the others are told once for each reason."""
    try:
        listed = json.loads(path.read_bytes())
        assert isinstance(listed, list)
    except (ValueError, AssertionError) as error:
        raise ValueError(f"{name}: {path} is no json list of detections; mend it") from error
    found: dict[Any, list[Detection]] = defaultdict(list)
    faults: Counter[str] = Counter()
    for entry in listed:
        fault = next(faults_of(entry, images, categories), None)
        if fault is None:
            found[entry["image_id"]].append(
                Detection(entry["category_id"], xyxy(entry["bbox"]), float(entry["score"]))
            )
        else:
            faults[fault] += 1
    for fault, count in faults.items():
        error = UselessDetections(f"{count} of {len(listed)} detections in {path} {fault}")
        if on_bad is None:
            raise ValueError(f"{name}: {error}; mend the file")
        on_bad(name, f"detections that {fault}", error)
    return found


def faults_of(entry: Any, images: set[Any], categories: set[int]) -> Iterator[str]:
    """What makes a detection useless."""
    if not isinstance(entry, dict) or {"image_id", "category_id", "bbox", "score"} - entry.keys():
        yield "lack image_id, category_id, bbox or score"
    elif not is_finite(entry["score"]):
        yield "hold a score that is no finite number"
    elif not is_box(entry["bbox"]):
        yield "hold a box that is not four numbers with a size"
    elif not isinstance(entry["image_id"], int | str) or entry["image_id"] not in images:
        yield "are of an image that is not in the set"
    elif not isinstance(entry["category_id"], int | str) or entry["category_id"] not in categories:
        yield "are of an unknown category"


def is_box(bbox: Any) -> bool:
    """Whether it is COCO's XYWH."""
    return (
        isinstance(bbox, list)
        and len(bbox) == 4
        and all(map(is_finite, bbox))
        and min(bbox[2:]) >= 0
    )


def is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def xyxy(bbox: list[float | int]) -> tuple[float, float, float, float]:
    """XYWH with ends."""
    x, y, width, height = map(float, bbox)
    return x, y, x + width, y + height
