"""A round of the loop in which people draw the masks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data_engine.engine import Engine
from data_engine.people.drawing.actions import Action
from data_engine.people.rounds import People, WaitingForPeople, round_pool
from data_engine.people.tasks.queue import Terms
from data_engine.people.tasks.store import Store
from data_engine.rounds import Round
from data_engine.run_folder import read_json
from sam_train.data.store.manifest import Dataset
from tools.run_status.engine import engine_lines

STROKE = Action(0, 100, "brush", 7.0, "ana", coords=(30.0, 30.0), label=1, radius=4.0)
PEOPLE = People(annotators=["ana", "ben"])


def rounds(phase: Any) -> list[Round]:
    return [Round("known", images=2, max_steps=1), Round(phase, images=2, max_steps=1)]


def work(run_dir: Path, name: str) -> None:
    """Ana draws one object on every image of a round."""
    store = Store(run_dir / "rounds" / name / "people" / "people.sqlite")
    for image in round_pool(str(run_dir / "rounds" / name)):
        key = store.claim("ana", now=1000.0, terms=Terms())
        assert key is not None
        height, width = image.load().shape[:2]
        store.identify(key, f"pixels of {key}", (height, width))
        store.append(key, STROKE, now=1000.0, lease_s=60.0)
        store.finish(key, "ana", "saved", seq=1, now=1010.0)
    store.close()


def test_a_round_waits_for_people_and_goes_on_with_their_masks(
    tmp_path: Path, engine: Callable[..., Engine]
) -> None:
    loop = engine(tmp_path, rounds=rounds("assisted_manual"), annotator=PEOPLE)
    with pytest.raises(WaitingForPeople, match="0 of 2 images are finished.*data_engine.serve"):
        loop.run()
    assert "people: 01-assisted_manual, images 2 open" in list(engine_lines(tmp_path))

    work(tmp_path, "01-assisted_manual")
    loop.run()

    dataset = Dataset(tmp_path / "dataset")
    (entry,) = [e for e in dataset.read().shards if e.phase == "assisted_manual"]
    made = [a for sample in dataset.samples(entry) for a in sample.record["annotations"]]
    assert [a["provenance"]["annotator"] for a in made] == ["ana", "ana"]
    assert [a["provenance"]["seconds"] for a in made] == [7.0, 7.0]
    summary = read_json(tmp_path / "rounds/01-assisted_manual/round.json")
    assert summary["annotator_hours"] == pytest.approx(14 / 3600, abs=1e-6)
    assert summary["iou_gain_per_hour"] == 0.0
    assert summary["strokes_per_mask"] == 1.0


def test_people_get_the_masks_that_the_detector_prefilled(
    tmp_path: Path, engine: Callable[..., Engine]
) -> None:
    loop = engine(tmp_path, rounds=rounds("semi_automatic"), annotator=PEOPLE)
    with pytest.raises(WaitingForPeople):
        loop.run()
    store = Store(tmp_path / "rounds/01-semi_automatic/people/people.sqlite")
    shown = {task.image: store.given(task.key) or [] for task in store.all_tasks()}
    store.close()

    work(tmp_path, "01-semi_automatic")
    loop.run()

    dataset = Dataset(tmp_path / "dataset")
    (entry,) = [e for e in dataset.read().shards if e.phase == "semi_automatic"]
    samples = list(dataset.samples(entry))
    assert sum(map(len, shown.values())) > 0
    for sample in samples:
        by_detector = sample.record["annotations"][: len(shown[sample.key])]
        assert [a["segmentation"] for a in by_detector] == [
            a["segmentation"] for a in shown[sample.key]
        ]


def test_a_round_is_asked_once(tmp_path: Path, engine: Callable[..., Engine]) -> None:
    loop = engine(tmp_path, rounds=rounds("assisted_manual"), annotator=PEOPLE)
    with pytest.raises(WaitingForPeople):
        loop.run()
    work_done = tmp_path / "rounds/01-assisted_manual/people/people.sqlite"
    store = Store(work_done)
    store.claim("ana", now=1000.0, terms=Terms())
    store.close()

    with pytest.raises(WaitingForPeople):
        loop.run()

    assert [task.holder for task in Store(work_done).all_tasks()] == ["ana", None]


def test_people_are_not_asked_for_old_images(tmp_path: Path, engine: Callable[..., Engine]) -> None:
    first, second = rounds("assisted_manual")
    again = [first, replace(second, revisit=True)]

    with pytest.raises(ValueError, match="rounds.1.revisit"):
        engine(tmp_path, rounds=again, annotator=PEOPLE).run()


def test_a_folder_that_is_no_round_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no round that waits for people"):
        round_pool(str(tmp_path))
