"""The loop: its versions, and what a process leaves that dies."""

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from data_engine.engine import Engine
from data_engine.phase_run import entry_samples
from data_engine.phases.semi_automatic import SemiAutomatic
from data_engine.rounds import Round
from data_engine.run_folder import read_json
from sam_train.data.records import Record
from sam_train.data.store.manifest import Dataset

BuildEngine = Callable[..., Engine]
LAYERS = ["01-assisted_manual", "02-semi_automatic", "03-fully_automatic"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, engine: BuildEngine) -> Path:
    """A run that nothing interrupted."""
    run_dir = tmp_path_factory.mktemp("run")
    engine(run_dir).run()
    return run_dir


def tars(run_dir: Path) -> dict[str, bytes]:
    dataset = run_dir / "dataset"
    return {str(p.relative_to(dataset)): p.read_bytes() for p in sorted(dataset.rglob("*.tar"))}


def shards(run_dir: Path) -> list[list[dict[str, Any]]]:
    """The shards of every version; versions themselves carry the time of their making."""
    return [
        json.loads(path.read_text())["shards"]
        for path in sorted(run_dir.glob("dataset/manifests/*.json"))
    ]


def records(run_dir: Path, version: int) -> Iterator[Record]:
    dataset = Dataset(run_dir / "dataset")
    for sample in entry_samples(dataset.root, dataset.read(version).shards):
        yield sample.record


def test_every_round_leaves_a_version_a_model_and_its_numbers(finished: Path) -> None:
    rounds = [read_json(path) for path in sorted(finished.glob("rounds/*/round.json"))]

    assert [turn["dataset_version"] for turn in rounds] == [1, 2, 3, 4]
    assert [turn["phase"] for turn in rounds] == ["known", *(name[3:] for name in LAYERS)]
    assert [turn["images"] for turn in rounds] == [2, 2, 2, 6]
    assert all(turn["masks"] > 0 and len(turn["checkpoint_sha256"]) == 64 for turn in rounds)
    assert rounds[1]["seconds_per_mask"] > 3 and rounds[3]["seconds_per_mask"] == 0


def test_a_version_holds_all_masks_so_far(finished: Path) -> None:
    phases = [
        {a["provenance"]["phase"] for record in records(finished, v) for a in record["annotations"]}
        for v in (1, 2, 3, 4)
    ]

    assert phases[0] == {"known"}
    assert phases[1] == {"known", "assisted_manual"}
    assert "semi_automatic" in phases[2]
    assert phases[3] >= {"known", "assisted_manual", "semi_automatic"}


def test_an_automatic_round_keeps_the_masks_of_people(finished: Path) -> None:
    def by_people(version: int) -> list[Any]:
        return [
            annotation
            for record in records(finished, version)
            for annotation in record["annotations"]
            if annotation["provenance"]["annotator"] == "simulated"
        ]

    assert by_people(4) == by_people(3) != []


def test_a_killed_run_goes_on_without_losing_or_doubling_a_mask(
    finished: Path, tmp_path: Path, engine: BuildEngine
) -> None:
    process = multiprocessing.get_context("fork").Process(target=engine(tmp_path).run)
    process.start()
    layer = tmp_path / "dataset/annotations/01-assisted_manual"
    while not any(layer.glob("*")):  # in the middle of a shard
        assert process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    engine(tmp_path).run()

    assert tars(tmp_path) == tars(finished)
    assert shards(tmp_path) == shards(finished)


def test_a_run_that_fails_between_its_steps_goes_on(
    finished: Path, tmp_path: Path, engine: BuildEngine
) -> None:
    whole = engine(tmp_path)

    def failing_at(step: Callable[..., Any], folder: str) -> Callable[..., Any]:
        def fail(*args: Any, **kwargs: Any) -> Any:
            if folder in str(kwargs["output_dir"]):
                raise KeyboardInterrupt
            return step(*args, **kwargs)

        return fail

    train = whole.retrain.train
    for failing in (
        {"retrain": replace(whole.retrain, train=failing_at(train, "02-"))},
        {"evaluate": failing_at(whole.evaluate, "02-")},
        {"retrain": replace(whole.retrain, train=failing_at(train, "03-"))},
    ):
        with pytest.raises(KeyboardInterrupt):
            engine(tmp_path, **failing).run()
    whole.run()

    assert tars(tmp_path) == tars(finished)
    assert shards(tmp_path) == shards(finished)


def test_a_finished_run_does_nothing_again(finished: Path, engine: BuildEngine) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.glob("[dr]*/**/*")}
    engine(finished).run()

    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_rounds_that_do_not_start_with_known_masks_are_refused(
    tmp_path: Path, engine: BuildEngine
) -> None:
    with pytest.raises(ValueError, match="rounds must be one of phase known and then"):
        engine(tmp_path, rounds=[Round("assisted_manual", images=2, max_steps=1)]).run()


def test_a_pool_that_is_too_small_is_refused_before_any_training(
    tmp_path: Path, engine: BuildEngine
) -> None:
    rounds = [Round("known", 2, 1), Round("fully_automatic", 6, 1), Round("fully_automatic", 2, 1)]

    with pytest.raises(ValueError, match="has no image left for the next round"):
        engine(tmp_path, rounds=rounds).run()
    assert not list(tmp_path.rglob("train"))


def test_a_phase_whose_settings_cannot_work_is_refused_before_any_training(
    tmp_path: Path, engine: BuildEngine
) -> None:
    whole = engine(tmp_path)
    phases = {**whole.phases, "semi_automatic": partial(SemiAutomatic, boxes_per_batch=0)}

    with pytest.raises(ValueError, match="boxes_per_batch is 0"):
        engine(tmp_path, phases=phases).run()
    assert not list(tmp_path.rglob("train"))


def test_a_phase_that_can_use_no_image_ends_the_run(tmp_path: Path, engine: BuildEngine) -> None:
    def unreadable(key: str) -> Any:
        raise ValueError("the mask is of another size than its image")

    whole = engine(tmp_path)
    whole.pool.known_masks = unreadable

    for _ in range(2):  # the same again when the command is given again
        with pytest.raises(ValueError, match="assisted_manual could use none of 2 images"):
            whole.run()
    assert Dataset(tmp_path / "dataset").versions() == [1]
