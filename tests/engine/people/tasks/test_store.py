"""Who gets which task, in SQLite and in PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from data_engine.people.drawing.actions import Action
from data_engine.people.tasks.queue import NotYours, Terms
from data_engine.people.tasks.store import OutOfStep, Store
from data_engine.people.tasks.tasks import NewTask, first_tasks

TERMS = Terms(lease_s=60.0)
KEYS = [f"image-{number:02d}" for number in range(24)]
STROKE = Action(0, 1, "brush", 1.5, "ana", coords=(5.0, 5.0), label=1, radius=2.0)


def claim(store: Store, name: str, *, now: float = 1000.0, terms: Terms = TERMS) -> str | None:
    return store.claim(name, now=now, terms=terms)


def finish(store: Store, name: str, *, now: float = 1000.0, terms: Terms = TERMS) -> str | None:
    key = claim(store, name, now=now, terms=terms)
    if key is not None:
        store.finish(key, name, "saved", seq=0, now=now)
    return key


def test_many_claims_at_once_get_as_many_tasks(store: Store) -> None:
    store.add(first_tasks(KEYS))

    with ThreadPoolExecutor(8) as threads:
        claimed = list(threads.map(lambda n: claim(store, f"person-{n}"), range(20)))

    assert sorted(claimed) == KEYS[:20]


def test_everything_is_done_once_when_many_work_at_once(store: Store) -> None:
    store.add(first_tasks(KEYS))

    def work(name: str) -> list[str]:
        return [key for key in iter(lambda: finish(store, name), None)]

    with ThreadPoolExecutor(6) as threads:
        done = [key for keys in threads.map(work, "abcdef") for key in keys]

    assert sorted(done) == KEYS
    assert store.final_images() == KEYS


def test_two_tabs_of_one_person_get_one_task(store: Store) -> None:
    store.add(first_tasks(KEYS))

    with ThreadPoolExecutor(8) as threads:
        claimed = set(threads.map(lambda _: claim(store, "ana"), range(8)))

    assert len(claimed) == 1


def test_a_lease_that_ran_out_goes_to_one_of_those_who_want_it(store: Store) -> None:
    store.add(first_tasks(KEYS[:1]))
    claim(store, "ana")

    with ThreadPoolExecutor(8) as threads:
        claimed = list(threads.map(lambda n: claim(store, f"p{n}", now=1061.0), range(8)))

    assert sorted(filter(None, claimed)) == KEYS[:1]
    with pytest.raises(NotYours, match="taken by somebody else"):
        store.append(KEYS[0], STROKE, now=1061.0, lease_s=60.0)


def test_a_lease_from_before_the_clock_was_set_back_does_not_last_for_ever(store: Store) -> None:
    store.add(first_tasks(KEYS[:1]))
    claim(store, "ana", now=1_000_000.0)

    assert claim(store, "ben", now=1000.0) == KEYS[0]


def test_while_the_server_is_away_no_lease_runs_out(store: Store) -> None:
    store.add(first_tasks(KEYS[:1]))
    claim(store, "ana", now=1000.0)

    store.extend_leases(90_060.0)

    assert claim(store, "ben", now=90_000.0) is None


def test_an_action_is_stored_once(store: Store) -> None:
    store.add(first_tasks(KEYS[:1]))
    claim(store, "ana")
    store.append(KEYS[0], STROKE, now=1000.0, lease_s=60.0)

    with pytest.raises(OutOfStep):
        store.append(KEYS[0], replace(STROKE, label=0), now=1000.0, lease_s=60.0)

    assert store.actions(KEYS[0]) == [STROKE]


def test_what_another_tab_has_changed_is_not_saved_unseen(store: Store) -> None:
    store.add(first_tasks(KEYS[:1]))
    claim(store, "ana")
    store.append(KEYS[0], STROKE, now=1000.0, lease_s=60.0)

    with pytest.raises(OutOfStep):
        store.finish(KEYS[0], "ana", "saved", seq=0, now=1000.0)

    assert store.counts()["open"] == 1


def test_a_review_goes_to_another_and_only_to_reviewers(store: Store) -> None:
    store.add(first_tasks(KEYS[:1]))
    claim(store, "ana")
    review = NewTask("image-00~2", KEYS[0], kind="review", maker="ana", given=[])
    for _ in range(2):  # the answer to the first was lost
        store.finish(KEYS[0], "ana", "saved", seq=0, now=1000.0, follow_up=review)
    only_cem = replace(TERMS, reviewers=frozenset({"cem"}))

    assert claim(store, "ana") is None
    assert claim(store, "ben", terms=only_cem) is None
    assert claim(store, "cem", terms=only_cem) == "image-00~2"
    assert store.counts()["review"] == 1
    assert store.final_images() == []


def test_gold_images_come_at_their_share_and_to_everybody(store: Store) -> None:
    store.add(first_tasks(KEYS, gold=KEYS[::4], annotators=["ana", "ben"]))
    terms = replace(TERMS, gold_share=0.25)

    done = {name: [finish(store, name, terms=terms) for _ in range(8)] for name in ("ana", "ben")}

    gold = {name: [key for key in keys if "~gold-" in (key or "")] for name, keys in done.items()}
    assert gold["ana"] == ["image-00~gold-ana", "image-04~gold-ana"]
    assert gold["ben"] == ["image-00~gold-ben", "image-04~gold-ben"]
    assert len(store.final_images()) == 12


def test_what_could_not_be_used_gets_another_chance_and_its_new_place(store: Store) -> None:
    store.add(first_tasks(KEYS[:2]))
    store.leave_out(KEYS[0], "it is damaged")
    assert [task.reason for task in store.unusable()] == ["it is damaged"]

    store.add(first_tasks([KEYS[1], KEYS[0]]))

    assert store.counts()["unusable"] == 0
    assert claim(store, "ana") == KEYS[1]


def test_masks_that_were_shown_stay(store: Store) -> None:
    store.add(first_tasks(KEYS[:1]))
    assert store.given(KEYS[0]) is None
    store.give(KEYS[0], [])
    store.give(KEYS[0], [{"id": 1}])  # type: ignore[typeddict-item]

    assert store.given(KEYS[0]) == []


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("no address", "store_url is no database address"),
        ("postgresql+psycopg://nobody:secret@/x?host=/nowhere", "cannot be used"),
    ],
)
def test_a_store_that_cannot_be_reached_is_told_without_its_password(
    url: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence) as told:
        Store(url)

    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_of_an_older_version_is_refused(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "people.sqlite") as db:
        db.execute("CREATE TABLE images (key TEXT)")
    db.close()

    with pytest.raises(ValueError, match="older version"):
        Store(tmp_path / "people.sqlite")
