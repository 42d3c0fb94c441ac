"""What is to be done on an image: annotate, review, annotate again, one task after the other."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from sam_train.data.records import Annotation, PhaseName

BETWEEN = "~"  # the key of an image and what tells its tasks apart; no key of an image has it


@dataclass(frozen=True)
class NewTask:
    """Something to do on an image, from the masks that it has."""

    key: str
    image: str
    kind: str = "annotate"  # or review
    phase: PhaseName = "assisted_manual"
    round: int = 1
    place: int = 0
    is_gold: bool = False
    only_for: str | None = None
    maker: str | None = None
    given: Sequence[Annotation] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class StoredTask:
    """Where the work on a task stands; its masks and actions are asked for apart."""

    key: str
    image: str
    kind: str
    phase: PhaseName
    round: int
    place: int
    state: str
    is_last: bool
    is_gold: bool
    maker: str | None
    holder: str | None
    finished_at: float | None  # seconds since the epoch
    reason: str | None
    size: tuple[int, int] | None  # (H, W), known once the image was prepared

    @property
    def is_review(self) -> bool:
        return self.kind == "review"

    @property
    def reviewer(self) -> str | None:
        """Who reviewed, if that is what the task is."""
        return self.holder if self.is_review else None

    @property
    def next_key(self) -> str:
        """The key of the task that follows on this image."""
        _, _, number = self.key.partition(BETWEEN)
        return f"{self.image}{BETWEEN}{int(number or 1) + 1}"


def first_tasks(
    keys: Iterable[str],
    *,
    phase: PhaseName = "assisted_manual",
    round: int = 1,
    gold: Iterable[str] = (),
    annotators: Iterable[str] = (),
) -> list[NewTask]:
    """A task for each image in this order; for a `gold` one, of every annotator."""
    gold, tasks = set(gold), list[NewTask]()
    for place, key in enumerate(keys):
        if BETWEEN in key:
            raise ValueError(f"the image {key} has a {BETWEEN} in its key: rename it")
        task = NewTask(key, key, phase=phase, round=round, place=place)
        if key not in gold:
            tasks.append(task)
            continue
        for name in annotators:
            own = {"key": f"{key}{BETWEEN}gold-{name}", "only_for": name, "is_gold": True}
            tasks.append(NewTask(**{**asdict(task), **own}))
    return tasks
