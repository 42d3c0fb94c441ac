"""What people did, object by object, read from the log of their actions."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_engine.annotation.annotators import KnownMasks
from data_engine.annotation.overlap import best_iou
from data_engine.people.answers import drawing_of
from data_engine.people.drawing.actions import WHOLE_IMAGE, Action
from data_engine.people.drawing.drawing import Drawing, DrawnObject
from data_engine.people.outcomes import review_of
from data_engine.people.tasks.store import Store
from data_engine.people.tasks.tasks import StoredTask
from sam_train.data.rle import Rle
from sam_train.data.store.durable import durable_file


@dataclass(frozen=True)
class Entry:
    """What one person did to one object of a finished task; object 0 is the image as a whole.

    Clicks, boxes and strokes count as they were made, also those that were undone.
    """

    task: str
    image: str
    kind: str  # of task: annotate, review
    phase: str
    round: int
    annotator: str
    object: int
    seconds: float
    clicks: int
    boxes: int
    strokes: int
    is_new_mask: bool  # the object is a mask in the end, and was none before
    maker: str | None  # who made the mask that was judged
    verdict: str | None  # accepted, corrected, rejected
    iou: float | None  # of the judged mask before and after the review
    is_gold: bool
    state: str  # saved, skipped
    finished_at: float  # seconds since the epoch


@dataclass(frozen=True)
class GoldEntry:
    """A known mask of a gold image, and its IoU with the best mask that an annotator drew."""

    image: str
    annotator: str
    mask: int
    iou: float
    finished_at: float


class Ledger:
    """The entries of all finished tasks; a task is read once."""

    def __init__(self, store: Store, known_masks: KnownMasks) -> None:
        self._store = store
        self._known_masks = known_masks
        self._entries: dict[str, list[Entry]] = {}
        self._gold: dict[str, list[GoldEntry]] = {}
        self._drawn: dict[tuple[str, str], list[Rle]] = {}  # on gold images, by image and name

    def entries(self) -> list[Entry]:
        self._read()
        return [entry for entries in self._entries.values() for entry in entries]

    def gold(self) -> list[GoldEntry]:
        self._read()
        return [entry for entries in self._gold.values() for entry in entries]

    def gold_drawings(self) -> dict[tuple[str, str], list[Rle]]:
        """The masks on gold images by (image, annotator): every annotator has drawn them."""
        self._read()
        return self._drawn

    def _read(self) -> None:
        for task in self._store.all_tasks():
            if task.finished_at is None or task.size is None or task.key in self._entries:
                continue
            drawing = drawing_of(self._store, task)
            self._entries[task.key] = list(task_entries(task, drawing))
            if task.is_gold and task.state == "saved" and task.holder is not None:
                masks = [item.mask for item in drawing.objects() if item.mask is not None]
                self._drawn[task.image, task.holder] = masks
                known = self._known_masks(task.image)
                self._gold[task.key] = [
                    GoldEntry(task.image, task.holder, number, round(iou, 4), task.finished_at)
                    for number, iou in enumerate(best_iou(known, masks).tolist())
                ]


def task_entries(task: StoredTask, drawing: Drawing) -> Iterator[Entry]:
    """One entry for each person and object that the log of a finished task knows."""
    assert task.finished_at is not None
    done: dict[tuple[str, int], list[Action]] = {}
    last: dict[int, str] = {}  # who touched an object last: the mask is theirs
    for action in drawing.log:
        done.setdefault((action.annotator, action.object), []).append(action)
        last[action.object] = action.annotator
    for id in drawing.given if task.is_review and task.state == "saved" else ():
        last.setdefault(id, task.holder or "")
        done.setdefault((last[id], id), [])  # judged with the image as a whole
    for (annotator, id), actions in done.items():
        item = None if id == WHOLE_IMAGE else drawing.object(id)
        kinds = [action.kind for action in actions]
        is_theirs = task.state == "saved" and last[id] == annotator and item is not None
        verdict, iou, maker = judged(item) if is_theirs and task.is_review else (None,) * 3
        yield Entry(
            task.key,
            task.image,
            task.kind,
            task.phase,
            task.round,
            annotator,
            id,
            seconds=round(sum((action.seconds for action in actions), 0.0), 3),
            clicks=kinds.count("point"),
            boxes=kinds.count("box"),
            strokes=kinds.count("brush"),
            is_new_mask=is_theirs and item.given is None and item.mask is not None,
            maker=maker,
            verdict=verdict,
            iou=iou,
            is_gold=task.is_gold,
            state=task.state,
            finished_at=task.finished_at,
        )


def judged(item: DrawnObject) -> tuple[str | None, float | None, str | None]:
    """The verdict on a given mask, its IoU before and after, and who had made it."""
    if item.given is None:
        return None, None, None
    provenance = item.given.get("provenance")
    return *review_of(item), provenance["annotator"] if provenance else None


SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("task", "image", "kind", "phase")),
        ("round", pa.int32()),
        ("annotator", pa.string()),
        ("object", pa.int32()),
        ("seconds", pa.float64()),
        *((name, pa.int32()) for name in ("clicks", "boxes", "strokes")),
        ("is_new_mask", pa.bool_()),
        ("maker", pa.string()),
        ("verdict", pa.string()),
        ("iou", pa.float64()),
        ("is_gold", pa.bool_()),
        ("state", pa.string()),
        ("finished_at", pa.float64()),
    ]
)


def parquet_bytes(entries: list[Entry]) -> bytes:
    """The entries as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([asdict(entry) for entry in entries], SCHEMA), sink)
    return sink.getvalue().to_pybytes()


def write_ledger(path: Path, entries: list[Entry]) -> None:
    """Writes a whole file or none."""
    with durable_file(path) as file:
        file.write(parquet_bytes(entries))
