"""Who works on which image, and what becomes of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_engine.people.tasks.queue import Terms
from data_engine.people.tasks.store import Store
from data_engine.people.tasks.tasks import NewTask, first_tasks
from sam_train.data.rle import decode_rle


def test_two_people_get_two_images(ana: Any, ben: Any) -> None:
    assert ana.claim()["key"] != ben.claim()["key"]


def test_a_lease_that_ran_out_passes_the_image_on_with_its_work(
    ana: Any, ben: Any, clock: Any
) -> None:
    key = ana.claim()["key"]
    ana.do("brush", 5, 5, label=1, radius=2)
    clock.now += 61

    task = ben.claim()

    assert task["key"] == key
    assert len(task["objects"]) == 1
    assert ana.try_to("brush", 9, 9, label=1, radius=2).json()["kind"] == "not_yours"


def test_an_action_prolongs_the_lease(ana: Any, ben: Any, clock: Any) -> None:
    key = ana.claim()["key"]
    clock.now += 59
    ana.do("brush", 5, 5, label=1, radius=2)
    clock.now += 59

    assert ben.claim()["key"] != key


def test_a_clock_that_jumps_takes_nothing_from_somebody_alone(ana: Any, clock: Any) -> None:
    ana.claim()
    clock.now -= 50_000

    ana.do("brush", 5, 5, label=1, radius=2)


def test_a_request_that_waited_for_its_turn_takes_no_younger_lease(tmp_path: Path) -> None:
    store = Store(tmp_path / "people.sqlite")
    store.add([NewTask("a", "a")])
    assert store.claim("ana", now=100.0, terms=Terms(lease_s=5.0)) == "a"

    assert store.claim("ben", now=99.9, terms=Terms(lease_s=5.0)) is None


def test_after_all_images_there_is_none(ana: Any) -> None:
    for _ in range(3):
        ana.claim()
        assert ana.save().status_code == 200

    counts = {"open": 0, "review": 0, "saved": 3, "skipped": 0, "unusable": 0}
    assert ana.claim() == {"progress": counts}


def test_to_save_twice_is_to_save_once(ana: Any) -> None:
    ana.claim()

    assert [ana.save().status_code for _ in range(2)] == [200, 200]


def test_what_was_drawn_is_what_the_shard_holds(ana: Any, collected: Any) -> None:
    key = ana.claim()["key"]
    clicked = ana.do("point", 20, 20, label=1)
    brushed = ana.do("brush", 50, 50, 60, 50, label=1, radius=3, object=2)
    ana.do("brush", 30, 5, label=1, radius=2, object=3)
    ana.do("delete", object=3)
    ana.save()

    (sample,) = collected()

    masks = [decode_rle(a["segmentation"]) for a in sample.record["annotations"]]
    shown = [decode_rle(c["objects"][0]["mask"]) for c in (clicked, brushed)]
    assert sample.key == key
    assert np.array_equal(masks, shown)
    provenance = sample.record["annotations"][1]["provenance"]
    assert provenance["annotator"] == "ana"
    assert (provenance["phase"], provenance["round"]) == ("assisted_manual", 3)
    assert provenance["seconds"] == 1.5
    assert provenance["prompts"] == [
        {"type": "brush", "coords": [47.0, 47.0, 63.0, 53.0], "label": 1, "time_s": 1.5}
    ]
    assert sample.record["annotations"][0]["provenance"]["model_sha256"] == "model"


def test_a_second_version_holds_what_was_saved_since_the_first(ana: Any, collected: Any) -> None:
    first = ana.claim()["key"]
    ana.save()
    assert [sample.key for sample in collected()] == [first]
    second = ana.claim()["key"]
    ana.do("brush", 5, 5, label=1, radius=2)
    ana.save()

    samples = collected()

    assert [sample.key for sample in samples] == [first, second]
    assert [len(sample.record["annotations"]) for sample in samples] == [0, 1]
    assert [sample.key for sample in collected()] == [first, second]


def test_a_pool_that_lacks_an_image_with_work_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "people.sqlite")
    store.add(first_tasks(["a", "b"]))

    with pytest.raises(ValueError, match="no such image"):
        store.add(first_tasks(["b"]))
