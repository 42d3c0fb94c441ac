"""The masks that an image has after a task: kept and corrected ones, then those that were drawn."""

from collections import defaultdict
from dataclasses import dataclass, field, replace

from data_engine.annotation.provenance import Stamp
from data_engine.annotation.task import next_id
from data_engine.people.drawing.drawing import Drawing, DrawnObject
from sam_train.data.records import Annotation, Prompt, Provenance, annotation_from_rle
from sam_train.data.rle import rle_iou

STATES = {"accept": "accepted", "correct": "corrected", "reject": "rejected"}


@dataclass(frozen=True)
class Outcome:
    """All masks of an image after a task, and the seconds of it that belong to none of them."""

    annotations: list[Annotation]
    seconds_elsewhere: float = 0.0


@dataclass
class Seconds:
    """What was spent on each object, and by the time of each action on its object."""

    of: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    until: dict[int, float] = field(default_factory=dict)  # by seq


def spent(drawing: Drawing) -> Seconds:
    """The seconds of a drawing; time on objects that were deleted again is theirs."""
    seconds = Seconds()
    for action in drawing.log:
        seconds.of[action.object] += action.seconds
        seconds.until[action.seq] = seconds.of[action.object]
    return seconds


def outcome(drawing: Drawing, stamp: Stamp, *, reviewer: str | None = None) -> Outcome:
    """The masks of a drawing with who made them, how, and in how many seconds.

    A given mask that was rejected, or corrected until nothing was left, is gone. After a review
    the others say what the `reviewer` thought of them.
    """
    seconds, given, counted = spent(drawing), list[Annotation](), 0.0
    objects = drawing.objects()
    for item in objects:
        if item.given is None or item.verdict == "reject" or item.mask is None:
            continue
        corrected = item.verdict == "correct"
        annotation = _corrected(item, seconds) if corrected else item.given
        given.append(_reviewed(annotation, item, reviewer) if reviewer else annotation)
        counted += seconds.of[item.id] if corrected else 0.0

    drawn = [item for item in objects if item.given is None and item.mask is not None]
    first = next_id(list(drawing.given.values()))
    added = [_annotation(item, stamp, seconds, id=id) for id, item in enumerate(drawn, first)]
    counted += sum(seconds.of[item.id] for item in drawn)
    elsewhere = sum(seconds.of.values()) - counted
    return Outcome([*given, *added], round(max(elsewhere, 0.0), 3))


def review_of(item: DrawnObject) -> tuple[str | None, float | None]:
    """The state of a given object after a review, and the IoU of its mask before and after."""
    state = STATES.get(item.verdict or "")
    if state != "corrected":
        return state, {"accepted": 1.0, "rejected": 0.0}.get(state or "")
    if item.mask is None:
        return "rejected", 0.0
    assert item.given is not None
    return state, round(float(rle_iou([item.given["segmentation"]], [item.mask])[0, 0]), 4)


def _reviewed(annotation: Annotation, item: DrawnObject, reviewer: str) -> Annotation:
    """The annotation with the reviewer's verdict. One without provenance has no place for it."""
    state, iou = review_of(item)
    if state is None or "provenance" not in annotation:
        return annotation
    return _with(annotation, review={"state": state, "reviewer": reviewer, "iou": iou})


def _corrected(item: DrawnObject, seconds: Seconds) -> Annotation:
    """The given annotation with the reviewer's mask; both people's prompts and seconds."""
    assert item.mask is not None and item.given is not None
    before, answer = item.given, item.answer
    annotation = annotation_from_rle(
        item.mask,
        id=item.id,
        predicted_iou=answer["predicted_iou"] if answer else before["predicted_iou"],
        stability_score=answer["stability_score"] if answer else before["stability_score"],
        crop_box=before["crop_box"],
        point_coords=before["point_coords"],
        provenance=before.get("provenance"),
    )
    if "provenance" not in annotation:
        return annotation
    earlier = annotation["provenance"]
    return _with(
        annotation,
        prompts=[*earlier["prompts"], *_prompts(item, seconds, after=earlier["seconds"])],
        seconds=round(earlier["seconds"] + seconds.of[item.id], 3),
    )


def _annotation(item: DrawnObject, stamp: Stamp, seconds: Seconds, *, id: int) -> Annotation:
    assert item.mask is not None
    prompts, answer = _prompts(item, seconds), item.answer
    models = [prompted.action.model_sha256 for prompted in item.prompted]
    crop = item.prompted[-1].action.crop if item.prompted else None
    return annotation_from_rle(
        item.mask,
        id=id,
        predicted_iou=answer["predicted_iou"] if answer else 1.0,
        stability_score=answer["stability_score"] if answer else 1.0,
        crop_box=(crop[0], crop[1], crop[2] - crop[0], crop[3] - crop[1]) if crop else None,
        point_coords=[p["coords"] for p in prompts if p["type"] == "point"][:1],
        provenance=replace(stamp, model_sha256=models[-1] if models else None).provenance(
            item.actions[-1].annotator, prompts, seconds=float(seconds.of[item.id])
        ),
    )


def _prompts(item: DrawnObject, seconds: Seconds, *, after: float = 0.0) -> list[Prompt]:
    return [action.prompt(after + seconds.until[action.seq]) for action in item.actions]


def _with(annotation: Annotation, **values: object) -> Annotation:
    provenance: Provenance = {**annotation["provenance"], **values}  # type: ignore[typeddict-item]
    return {**annotation, "provenance": provenance}
