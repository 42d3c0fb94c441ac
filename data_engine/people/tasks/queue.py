"""Who gets which task: the statements that hand out, hold and end the work on an image."""

import hashlib
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Update,
    and_,
    case,
    func,
    or_,
    select,
    text,
    update,
)

from data_engine.people.tasks.tables import TASKS

LONGEST_WAIT_S = 60.0  # of a request for the database, with what the clocks of servers differ


class NotYours(ValueError):
    """The task is not, or no longer, the annotator's to work on."""


@dataclass(frozen=True)
class Terms:
    """On which terms an annotator gets tasks."""

    lease_s: float = 600.0
    gold_share: float = 0.0  # of an annotator's tasks, those whose masks are known
    reviewers: frozenset[str] | None = None  # None: everybody

    def may_review(self, annotator: str) -> bool:
        return self.reviewers is None or annotator in self.reviewers


def take(db: Connection, annotator: str, *, now: float, terms: Terms) -> str | None:
    """Gives the annotator the task they hold, else the next that nobody does; None: none left.

    No two get the same. SQLite has one writer at a time, from the first statement on. PostgreSQL
    reads what was committed when a statement began, so the row is locked where it is chosen, one
    that is locked is passed over, and an annotator's own claims wait for each other.
    """
    if db.dialect.name == "postgresql":
        db.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:n, 0))"), {"n": annotator})
    is_open, lease_until = TASKS.c.state == "open", now + terms.lease_s
    is_mine = TASKS.c.holder == annotator
    held = select(TASKS.c.key).where(is_open, is_mine).order_by(TASKS.c.place).limit(1)
    # It may be taken by another between the two parts of the statement.
    mine = db.scalar(_lease(held, annotator, lease_until).where(is_mine))
    if mine is not None:
        return mine
    is_due = _gold_is_due(db, annotator, terms.gold_share)
    for is_gold in (True, False) if is_due else (False,):
        free = _free(annotator, is_gold, now=now, terms=terms)
        key = db.scalar(_lease(free, annotator, lease_until))
        if key is not None:
            return key
    return None


def _free(annotator: str, is_gold: bool, *, now: float, terms: Terms) -> Select:
    """The next task of those that the annotator may have; last those that were their own."""
    is_own = TASKS.c.maker == annotator
    allowed = [
        TASKS.c.state == "open",
        TASKS.c.is_gold.is_(is_gold),
        or_(TASKS.c.only_for.is_(None), TASKS.c.only_for == annotator),
        is_free(now, terms.lease_s),
    ]
    if terms.may_review(annotator):
        allowed.append(or_(TASKS.c.kind != "review", TASKS.c.maker != annotator))
    else:
        allowed.append(TASKS.c.kind != "review")
    query = select(TASKS.c.key).where(*allowed)
    query = query.order_by(case((is_own, 1), else_=0), TASKS.c.place).limit(1)
    return query.with_for_update(skip_locked=True)


def is_free(now: float, lease_s: float) -> ColumnElement[bool]:
    """Nobody's, or its lease ran out; one that ends later than any can was made before the clock
    was set back. A lease made since `now`, while this request waited, is none of those."""
    until = TASKS.c.lease_until
    return or_(TASKS.c.holder.is_(None), until < now, until > now + lease_s + LONGEST_WAIT_S)


def _lease(chosen: Select, annotator: str, until: float) -> Update:
    lease = update(TASKS).where(TASKS.c.key == chosen.scalar_subquery(), TASKS.c.state == "open")
    return lease.values(holder=annotator, lease_until=until).returning(TASKS.c.key)


def _gold_is_due(db: Connection, annotator: str, share: float) -> bool:
    """Whether the annotator's next task should be a gold one; where they start differs by name."""
    if not share:
        return False
    query = select(TASKS.c.is_gold, func.count()).group_by(TASKS.c.is_gold)
    finished = and_(TASKS.c.holder == annotator, TASKS.c.finished_at.is_not(None))
    counts = {is_gold: count for is_gold, count in db.execute(query.where(finished))}
    return int(share * (sum(counts.values()) + 1) + chance(annotator)) > counts.get(True, 0)


def renew(db: Connection, key: str, annotator: str, until: float) -> None:
    """Prolongs a lease; NotYours if somebody else has taken the task."""
    mine = and_(TASKS.c.key == key, TASKS.c.holder == annotator, TASKS.c.state == "open")
    if db.execute(update(TASKS).where(mine).values(lease_until=until)).rowcount == 0:
        raise not_yours(key)


def not_yours(key: str) -> NotYours:
    return NotYours(f"{key} is not yours any more: it was finished, or taken by somebody else")


def chance(name: str) -> float:
    """A number in [0, 1) that belongs to a name for good."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48
