"""Tasks and actions in a database: the only SQL. An answered request is on the disk."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    and_,
    create_engine,
    event,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from data_engine.people.actions import Action

_META = MetaData()
_IMAGES = Table(
    "images",
    _META,
    Column("key", String, primary_key=True),
    Column("place", Integer, nullable=False, index=True),
    Column("state", String, nullable=False, default="open"),  # saved, skipped, unusable
    Column("holder", String),
    Column("lease_until", Float, nullable=False, default=0.0),
    Column("digest", String, unique=True),  # of the pixels
    Column("height", Integer),
    Column("width", Integer),
    Column("reason", String),  # why it is unusable
)
_ACTIONS = Table(
    "actions",
    _META,
    Column("key", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("action", JSON, nullable=False),
)


class NotYours(ValueError):
    """The image is not, or no longer, the annotator's to work on."""


class OutOfStep(ValueError):
    """The page shows another state of the image than the one that is stored."""


@dataclass(frozen=True)
class StoredImage:
    """Where the work on one image stands."""

    key: str
    state: str
    holder: str | None
    size: tuple[int, int] | None  # (H, W), known once it was prepared
    reason: str | None


class Store:
    """Which image is whose, and every action on it. Any number of threads and processes.

    Times are seconds since the epoch. A lease that ran out only lets somebody else take the
    image: its holder goes on until then, and nothing that was stored is lost.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})
        event.listen(self._engine, "connect", _durable)
        _META.create_all(self._engine)

    def close(self) -> None:
        self._engine.dispose()

    def add_images(self, keys: Sequence[str]) -> None:
        """Takes in the images of a pool, in its order; those that are known keep their state.

        Only those that could not be used get another chance. A known image that the pool lacks
        raises ValueError: its work belongs to another pool.
        """
        with self._engine.begin() as db:
            known = set(db.scalars(select(_IMAGES.c.key)))
            if foreign := known - set(keys):
                raise ValueError(
                    f"the output folder holds work on {min(foreign)} and the pool has no such "
                    "image: choose another output_dir or give the pool that it was made on"
                )
            unusable = update(_IMAGES).where(_IMAGES.c.state == "unusable")
            db.execute(unusable.values(state="open", reason=None, holder=None))
            rows = [{"key": k, "place": n} for n, k in enumerate(keys) if k not in known]
            if rows:
                db.execute(insert(_IMAGES), rows)

    def claim(self, annotator: str, *, now: float, lease_s: float) -> str | None:
        """Gives the annotator the image they hold, else the next that nobody does; None: all done.

        One statement, so no two get the same.
        """
        is_open = _IMAGES.c.state == "open"
        held = select(_IMAGES.c.key).where(is_open, _IMAGES.c.holder == annotator)
        free = select(_IMAGES.c.key).where(
            is_open, or_(_IMAGES.c.holder.is_(None), _IMAGES.c.lease_until < now)
        )
        first_held, first_free = (
            query.order_by(_IMAGES.c.place).limit(1).scalar_subquery() for query in (held, free)
        )
        take = (
            update(_IMAGES)
            .where(_IMAGES.c.key == func.coalesce(first_held, first_free))
            .values(holder=annotator, lease_until=now + lease_s)
            .returning(_IMAGES.c.key)
        )
        with self._engine.begin() as db:
            return db.scalar(take)

    def upcoming(self, count: int) -> list[str]:
        """The next images that nobody has had yet."""
        query = (
            select(_IMAGES.c.key)
            .where(_IMAGES.c.state == "open", _IMAGES.c.holder.is_(None))
            .order_by(_IMAGES.c.place)
            .limit(count)
        )
        with self._engine.connect() as db:
            return list(db.scalars(query))

    def identify(self, key: str, digest: str, size: tuple[int, int]) -> str | None:
        """Notes the pixels of an image; returns another image's key if it shows the same."""
        note = update(_IMAGES).where(_IMAGES.c.key == key)
        try:
            with self._engine.begin() as db:
                db.execute(note.values(digest=digest, height=size[0], width=size[1]))
        except IntegrityError:
            with self._engine.connect() as db:
                return db.scalar(select(_IMAGES.c.key).where(_IMAGES.c.digest == digest))
        return None

    def leave_out(self, key: str, reason: str) -> None:
        """Takes an image that cannot be used out of the queue."""
        with self._engine.begin() as db:
            leave = update(_IMAGES).where(_IMAGES.c.key == key, _IMAGES.c.state == "open")
            db.execute(leave.values(state="unusable", reason=reason))

    def renew(self, key: str, annotator: str, *, now: float, lease_s: float) -> None:
        """Prolongs the lease; NotYours if somebody else has taken the image."""
        with self._engine.begin() as db:
            _renew(db, key, annotator, now + lease_s)

    def append(self, key: str, action: Action, *, now: float, lease_s: float) -> None:
        """Stores an action and prolongs the lease, both or neither."""
        content = json.loads(json.dumps(asdict(action)))
        try:
            with self._engine.begin() as db:
                _renew(db, key, action.annotator, now + lease_s)
                db.execute(insert(_ACTIONS).values(key=key, seq=action.seq, action=content))
        except IntegrityError as error:
            raise OutOfStep(
                "another tab has changed this image: the page shows its state now"
            ) from error

    def finish(self, key: str, annotator: str, state: str) -> None:
        """Marks an image `saved` or `skipped`. Again by the same annotator changes nothing."""
        finished = update(_IMAGES).where(
            _IMAGES.c.key == key,
            _IMAGES.c.holder == annotator,
            _IMAGES.c.state.in_(["open", state]),
        )
        with self._engine.begin() as db:
            if db.execute(finished.values(state=state)).rowcount == 0:
                raise _not_yours(key)

    def actions(self, key: str) -> list[Action]:
        """All that was done to an image, in order."""
        query = select(_ACTIONS.c.action).where(_ACTIONS.c.key == key).order_by(_ACTIONS.c.seq)
        with self._engine.connect() as db:
            return [_action(content) for content in db.scalars(query)]

    def image(self, key: str) -> StoredImage | None:
        with self._engine.connect() as db:
            row = db.execute(select(_IMAGES).where(_IMAGES.c.key == key)).one_or_none()
        if row is None:
            return None
        size = None if row.height is None else (row.height, row.width)
        return StoredImage(row.key, row.state, row.holder, size, row.reason)

    def keys(self, state: str) -> list[str]:
        """The images in a state, in the order of the pool."""
        query = select(_IMAGES.c.key).where(_IMAGES.c.state == state).order_by(_IMAGES.c.place)
        with self._engine.connect() as db:
            return list(db.scalars(query))

    def unusable(self) -> list[StoredImage]:
        """The images that were left out, each with its reason."""
        found = (self.image(key) for key in self.keys("unusable"))
        return [image for image in found if image is not None]

    def check_writable(self) -> None:
        """Raises what a write would raise."""
        with self._engine.begin() as db:
            db.execute(update(_IMAGES).where(_IMAGES.c.key.is_(None)).values(holder=None))

    def counts(self) -> dict[str, int]:
        """How many images there are in each state, those in which there are any."""
        query = select(_IMAGES.c.state, func.count()).group_by(_IMAGES.c.state)
        with self._engine.connect() as db:
            return {state: count for state, count in db.execute(query)}


def _durable(connection: Any, _: Any) -> None:
    """SQLite so that readers never wait, and what was committed survives a power cut."""
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _renew(db: Connection, key: str, annotator: str, until: float) -> None:
    mine = and_(_IMAGES.c.key == key, _IMAGES.c.holder == annotator, _IMAGES.c.state == "open")
    if db.execute(update(_IMAGES).where(mine).values(lease_until=until)).rowcount == 0:
        raise _not_yours(key)


def _not_yours(key: str) -> NotYours:
    return NotYours(f"{key} is not yours any more: it was finished, or taken by somebody else")


def _action(content: dict[str, Any]) -> Action:
    lists: Iterable[str] = ("coords", "candidates")
    return Action(**content | {name: tuple(content[name]) for name in lists})
