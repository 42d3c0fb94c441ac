"""Tasks and actions in a database. An answered request is on the disk."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import and_, false, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from data_engine.people.drawing.actions import Action
from data_engine.people.tasks.queue import Terms, not_yours, renew, take
from data_engine.people.tasks.tables import ACTIONS, IMAGES, TASKS, open_tables
from data_engine.people.tasks.tasks import NewTask, StoredTask
from sam_train.data.records import Annotation


class OutOfStep(ValueError):
    """The page shows another state of the image than the one that is stored."""


_COLUMNS = [
    *(TASKS.c[name] for name in StoredTask.__dataclass_fields__ if name in TASKS.c),
    IMAGES.c.height,
    IMAGES.c.width,
]
_IS_FINAL = and_(
    TASKS.c.is_last,
    TASKS.c.is_gold.is_(False),
    or_(TASKS.c.state == "saved", and_(TASKS.c.state == "skipped", TASKS.c.kind == "review")),
)


class Store:
    """Which task is whose, and every action on it. Any number of threads and processes.

    Times are seconds since the epoch. A lease that ran out only lets somebody else take the
    task: its holder goes on until then, and nothing that was stored is lost.
    """

    def __init__(self, where: Path | str) -> None:
        self._engine = open_tables(where)
        self.name = self._engine.url.render_as_string(hide_password=True)

    def close(self) -> None:
        self._engine.dispose()

    # Tasks

    def add(self, tasks: Sequence[NewTask]) -> None:
        """Takes in first tasks of images; those that are known keep their state, in a new place.

        Only those that could not be used get another chance. A known image that is not among them
        raises ValueError: its work belongs to another pool.
        """
        with self._engine.begin() as db:
            places = dict(db.execute(select(TASKS.c.key, TASKS.c.place)).all())
            known = set(db.scalars(select(TASKS.c.image)))
            if foreign := known - {task.image for task in tasks}:
                raise ValueError(
                    f"the output folder holds work on {min(foreign)} and the pool has no such "
                    "image: choose another output_dir or give the pool that it was made on"
                )
            unusable = update(TASKS).where(TASKS.c.state == "unusable")
            db.execute(unusable.values(state="open", reason=None, holder=None))
            for task in tasks:
                if places.get(task.key, task.place) != task.place:
                    moved = update(TASKS).where(TASKS.c.image == task.image)
                    db.execute(moved.values(place=task.place))
            if new := [_row(task) for task in tasks if task.key not in places]:
                db.execute(insert(TASKS), new)
            images = set(db.scalars(select(IMAGES.c.key)))
            if missing := dict.fromkeys(t.image for t in tasks if t.image not in images):
                db.execute(insert(IMAGES), [{"key": key} for key in missing])

    def claim(self, annotator: str, *, now: float, terms: Terms) -> str | None:
        """Gives the annotator the task they hold, else the next; None if none is left for them."""
        with self._engine.begin() as db:
            return take(db, annotator, now=now, terms=terms)

    def extend_leases(self, until: float) -> None:
        """Gives everybody who holds a task time: nobody could renew while the server was away."""
        held = and_(TASKS.c.state == "open", TASKS.c.holder.is_not(None))
        with self._engine.begin() as db:
            db.execute(update(TASKS).where(held).values(lease_until=until))

    def upcoming(self, count: int) -> list[str]:
        """The next tasks that nobody has had yet."""
        free = and_(TASKS.c.state == "open", TASKS.c.holder.is_(None))
        query = select(TASKS.c.key).where(free).order_by(TASKS.c.place).limit(count)
        with self._engine.connect() as db:
            return list(db.scalars(query))

    def identify(self, image: str, digest: str, size: tuple[int, int]) -> str | None:
        """Notes the pixels of an image; returns another image's key if it shows the same.

        Raises ValueError if the image was another picture before: what people did belongs to that.
        """
        this = IMAGES.c.key == image
        note = update(IMAGES).where(this)
        with self._engine.connect() as db:
            before = db.scalar(select(IMAGES.c.digest).where(this))
        if before not in (None, digest):
            raise ValueError("it is another picture than before: put the old file back")
        try:
            with self._engine.begin() as db:
                db.execute(note.values(digest=digest, height=size[0], width=size[1]))
        except IntegrityError:
            with self._engine.connect() as db:
                return db.scalar(select(IMAGES.c.key).where(IMAGES.c.digest == digest))
        return None

    def leave_out(self, key: str, reason: str) -> None:
        """Takes a task whose image cannot be used out of the queue."""
        with self._engine.begin() as db:
            leave = update(TASKS).where(TASKS.c.key == key, TASKS.c.state == "open")
            db.execute(leave.values(state="unusable", reason=reason))

    def leave_out_twins(self, twins: Mapping[str, str]) -> None:
        """Takes images out of the queue that look like another one and that nobody has begun."""
        untouched = and_(TASKS.c.state == "open", TASKS.c.holder.is_(None))
        with self._engine.begin() as db:
            for image, twin in twins.items():
                leave = update(TASKS).where(TASKS.c.image == image, untouched)
                db.execute(leave.values(state="unusable", reason=f"it looks like {twin}"))

    def renew(self, key: str, annotator: str, *, now: float, lease_s: float) -> None:
        """Prolongs the lease; NotYours if somebody else has taken the task."""
        with self._engine.begin() as db:
            renew(db, key, annotator, now + lease_s)

    def finish(
        self,
        key: str,
        annotator: str,
        state: str,
        *,
        seq: int,
        now: float,
        follow_up: NewTask | None = None,
    ) -> None:
        """Marks a task `saved` or `skipped` and adds what follows, both or neither.

        Again by the same annotator changes nothing. Unless `seq` actions are stored, somebody saw
        another state than this: OutOfStep.
        """
        mine = and_(TASKS.c.key == key, TASKS.c.holder == annotator)
        values = {"state": state, "finished_at": now, "is_last": follow_up is None}
        with self._engine.begin() as db:
            finished = update(TASKS).where(mine, TASKS.c.state == "open")
            is_open = db.execute(finished.values(**values)).rowcount > 0
            if not is_open and db.scalar(select(TASKS.c.state).where(mine)) != state:
                raise not_yours(key)
            # Nobody can add an action from here on: to do so they renew the lease of an open task.
            if db.scalar(select(func.count()).where(ACTIONS.c.task == key)) != seq:
                raise OutOfStep("another tab has changed this image: look at it again and save")
            if is_open and follow_up is not None:
                db.execute(insert(TASKS), [_row(follow_up)])

    # Masks and actions

    def give(self, key: str, given: Sequence[Annotation]) -> None:
        """Notes the masks that a phase prefilled, unless there are any: what was shown stays."""
        with self._engine.begin() as db:
            note = update(TASKS).where(TASKS.c.key == key, TASKS.c.given.is_(None))
            db.execute(note.values(given=list(given)))

    def given(self, key: str) -> list[Annotation] | None:
        """The masks that were there before the task; None if the phase was not asked yet."""
        with self._engine.connect() as db:
            return db.scalar(select(TASKS.c.given).where(TASKS.c.key == key))

    def lacks_given(self) -> bool:
        """Whether there is an open task for which the phase has not prefilled masks."""
        lacking = and_(TASKS.c.state == "open", TASKS.c.given.is_(None))
        with self._engine.connect() as db:
            return db.scalar(select(TASKS.c.key).where(lacking).limit(1)) is not None

    def append(self, key: str, action: Action, *, now: float, lease_s: float) -> None:
        """Stores an action and prolongs the lease, both or neither."""
        content = json.loads(json.dumps(asdict(action)))
        row = {"task": key, "seq": action.seq, "at": now, "action": content}
        try:
            with self._engine.begin() as db:
                renew(db, key, action.annotator, now + lease_s)
                db.execute(insert(ACTIONS).values(row))
        except IntegrityError as error:
            raise OutOfStep(
                "another tab has changed this image: the page shows its state now"
            ) from error

    def actions(self, key: str) -> list[Action]:
        """All that was done in a task, in order."""
        query = select(ACTIONS.c.action).where(ACTIONS.c.task == key).order_by(ACTIONS.c.seq)
        with self._engine.connect() as db:
            return [_action(content) for content in db.scalars(query)]

    # Where the work stands

    def task(self, key: str) -> StoredTask | None:
        return next(iter(self._tasks(TASKS.c.key == key)), None)

    def tasks_of(self, image: str) -> list[StoredTask]:
        """The tasks of an image, the oldest first; without gold ones."""
        tasks = self._tasks(TASKS.c.image == image, TASKS.c.is_gold.is_(False))
        return sorted(tasks, key=lambda task: (len(task.key), task.key))

    def all_tasks(self) -> list[StoredTask]:
        """Every task, in the order of the queue."""
        return self._tasks()

    def final_images(self) -> list[str]:
        """The images whose work is done and reviewed if it had to be, in the order of the queue."""
        return [task.image for task in self._tasks(_IS_FINAL)]

    def unusable(self) -> list[StoredTask]:
        """The tasks whose images were left out, each with its reason."""
        return self._tasks(TASKS.c.state == "unusable")

    def check_writable(self) -> None:
        """Raises what a write would raise."""
        with self._engine.begin() as db:
            db.execute(update(TASKS).where(false()).values(holder=None))

    def counts(self) -> dict[str, int]:
        """How many images are open, in review, saved, skipped and unusable."""
        query = select(TASKS.c.kind, TASKS.c.state, func.count()).where(
            TASKS.c.is_last, TASKS.c.is_gold.is_(False)
        )
        found = {"open": 0, "review": 0, "saved": 0, "skipped": 0, "unusable": 0}
        with self._engine.connect() as db:
            for kind, state, count in db.execute(query.group_by(TASKS.c.kind, TASKS.c.state)):
                if kind == "review":
                    state = {"open": "review", "skipped": "saved"}.get(state, state)
                found[state] += count
        return found

    def _tasks(self, *conditions: Any) -> list[StoredTask]:
        source = TASKS.join(IMAGES, TASKS.c.image == IMAGES.c.key)
        query = select(*_COLUMNS).select_from(source).where(*conditions)
        with self._engine.connect() as db:
            rows = db.execute(query.order_by(TASKS.c.place, TASKS.c.key)).mappings().all()
        return [_stored(dict(row)) for row in rows]


def _row(task: NewTask) -> dict[str, Any]:
    given = None if task.given is None else list(task.given)
    return asdict(task) | {"given": given, "state": "open", "is_last": True}


def _stored(row: dict[str, Any]) -> StoredTask:
    height, width = row.pop("height"), row.pop("width")
    return StoredTask(**row, size=None if height is None else (height, width))


def _action(content: dict[str, Any]) -> Action:
    tuples = {name: tuple(content[name]) for name in ("coords", "candidates")}
    crop = content.get("crop")
    return Action(**content | tuples | {"crop": tuple(crop) if crop else None})
