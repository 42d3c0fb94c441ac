"""What is on disk: SA-1B's json, plus one `provenance` object on every mask the engine made."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict, get_args

from sam_train.data.rle import Rle, rle_area, rle_box

# "known" masks came with a set or with a drawn scene; the other three are the engine's.
PhaseName = Literal["known", "assisted_manual", "semi_automatic", "fully_automatic"]
PHASES: tuple[str, ...] = get_args(PhaseName)


class Prompt(TypedDict):
    """One thing the annotator did, in pixels of the whole image."""

    type: Literal["point", "box", "mask", "brush"]
    coords: list
    label: int | None
    time_s: float


class Review(TypedDict):
    """What a second person said of the mask; `iou` is the overlap with their correction."""

    state: str
    reviewer: str | None
    iou: float | None


class Provenance(TypedDict):
    """Who made a mask, with which model and settings, and what it cost."""

    phase: PhaseName
    round: int
    annotator: str
    model_sha256: str | None
    config_sha256: str | None
    prompts: list[Prompt]
    seconds: float
    parent_id: int | None
    review: Review


class Annotation(TypedDict):
    """One mask. `bbox` and `crop_box` are XYWH, `point_coords` is [[x, y]], in image pixels."""

    id: int
    segmentation: Rle
    bbox: list[float]
    area: int
    predicted_iou: float
    stability_score: float
    crop_box: list[float]
    point_coords: list[list[float]]
    provenance: NotRequired[Provenance]


class ImageInfo(TypedDict):
    """The image that the masks belong to."""

    image_id: int
    width: int
    height: int
    file_name: str


class Record(TypedDict):
    """The json beside one image."""

    image: ImageInfo
    annotations: list[Annotation]


@dataclass(frozen=True)
class Sample:
    """One image of a shard, still compressed, with its record."""

    key: str
    image_bytes: bytes
    record: Record


class BadSample(ValueError):
    """A sample that cannot be used. The subclass says why; a `BadSampleLog` counts by its name."""


class InvalidRecord(BadSample):
    """The json does not follow the schema."""


def annotation_from_rle(
    rle: Rle,
    *,
    id: int,
    predicted_iou: float = 1.0,
    stability_score: float = 1.0,
    crop_box: Sequence[int | float] | None = None,
    point_coords: Sequence[Sequence[float]] = (),
    provenance: Provenance | None = None,
) -> Annotation:
    """Completes a mask to an annotation; without a `crop_box` (XYWH) it came from the whole image.

    The box is pycocotools' (a pixel has width 1); SA-1B's own are one pixel narrower.
    """
    height, width = rle["size"]
    x0, y0, x1, y1 = rle_box(rle).tolist()
    annotation: Annotation = {
        "id": id,
        "segmentation": rle,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": rle_area(rle),
        "predicted_iou": float(predicted_iou),
        "stability_score": float(stability_score),
        "crop_box": [float(side) for side in crop_box or (0, 0, width, height)],
        "point_coords": [[float(x), float(y)] for x, y in point_coords],
    }
    if provenance is not None:
        annotation["provenance"] = provenance
    return annotation


def mask_phase(annotation: Annotation) -> PhaseName:
    """The phase that made a mask. One without `provenance` is published SA-1B's: `fully_automatic`.

    All of SA-1B's masks are from that phase (SAM, sec. 5), and other masks that come to a
    dataset get a provenance on the way. A phase that does not exist raises InvalidRecord.
    """
    provenance: Any = annotation.get("provenance")
    if provenance is None:
        return "fully_automatic"
    phase = provenance.get("phase") if isinstance(provenance, dict) else None
    if phase not in PHASES:
        raise InvalidRecord(f"Mask {annotation['id']} has no phase in its provenance: {phase!r}.")
    return phase


def parse_record(text: bytes) -> Record:
    """Reads a record as far as a reader must trust it: its shape, not yet its masks."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRecord(f"Not a json: {error}.") from error
    _check_shape(record)
    return record


def usable_record(text: bytes) -> Record:
    """Parses a record in which every mask can be told from the others by its id."""
    record = parse_record(text)
    ids = [annotation["id"] for annotation in record["annotations"]]
    if len(set(ids)) < len(ids):
        twice = next(id for place, id in enumerate(ids) if id in ids[:place])
        raise InvalidRecord(f"Two annotations have the id {twice}.")
    return record


def validate_record(record: Record) -> None:
    """Raises ValueError, naming what is wrong, unless the record can go to disk."""
    _check_shape(record)
    seen: set[int] = set()
    for annotation in record["annotations"]:
        if annotation["id"] in seen:
            raise InvalidRecord(f"Two annotations have the id {annotation['id']}.")
        seen.add(annotation["id"])
        _check_mask(annotation)


def _check_shape(record: Any) -> None:
    """Image, annotations and their sizes; costs nothing per pixel or per run."""
    if not isinstance(record, dict) or not {"image", "annotations"} <= record.keys():
        raise InvalidRecord("A record needs the keys `image` and `annotations`.")
    _require(record["image"], ImageInfo.__required_keys__, "The record's image")
    size = [record["image"]["height"], record["image"]["width"]]
    if not all(type(side) is int and side > 0 for side in size):
        raise InvalidRecord(f"The record's image has height and width {size}, no pixels.")
    if not isinstance(record["annotations"], list):
        raise InvalidRecord("The record's annotations are no json list.")
    for annotation in record["annotations"]:
        _require(annotation, {"id", "segmentation", "bbox", "area"}, "An annotation")
        _check_numbers(annotation)
        mask_phase(annotation)
        rle = annotation["segmentation"]
        if not isinstance(rle, dict) or not Rle.__required_keys__ <= rle.keys():
            raise InvalidRecord(f"Mask {annotation['id']} has no run lengths (`size`, `counts`).")
        if rle["size"] != size:
            raise InvalidRecord(
                f"Mask {annotation['id']} has size {rle['size']}, its image {size}."
            )


def _check_numbers(annotation: dict) -> None:
    """What a reader computes with: id, box, area and, where they are, the scores."""
    if type(annotation["id"]) is not int:
        raise InvalidRecord(f"The id of a mask is no whole number: {annotation['id']!r:.40}.")
    bbox = annotation["bbox"]
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_number, bbox)):
        raise InvalidRecord(f"Mask {annotation['id']} has a bbox that is not four numbers.")
    for key in ("area", "predicted_iou", "stability_score"):
        if not _is_number(annotation.get(key, 0)):
            raise InvalidRecord(f"Mask {annotation['id']} has no number as its {key}.")


def _is_number(value: object) -> bool:
    """Whether a value can be computed with: neither NaN nor too large for any image."""
    return isinstance(value, (int, float)) and abs(value) < 1e15


def _require(part: object, keys: Collection[str], name: str) -> None:
    if not isinstance(part, dict):
        raise InvalidRecord(f"{name} is no json object.")
    missing = set(keys) - part.keys()
    if missing:
        raise InvalidRecord(f"{name} lacks {', '.join(sorted(missing))}.")


def _check_mask(annotation: Annotation) -> None:
    """All keys of the schema, and a mask that can be decoded and is not empty."""
    _require(annotation, Annotation.__required_keys__, f"Mask {annotation['id']}")
    try:
        area = rle_area(annotation["segmentation"])
    except ValueError as error:
        raise InvalidRecord(f"Mask {annotation['id']}: {error}") from error
    if area == 0:
        raise InvalidRecord(f"Mask {annotation['id']} is empty.")
    if area != annotation["area"]:
        raise InvalidRecord(
            f"Mask {annotation['id']} says area {annotation['area']}, its pixels are {area}."
        )
