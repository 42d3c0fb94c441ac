"""Claims on shards: one worker at a time, and images that end their workers."""

import json
import multiprocessing
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_engine.annotation.annotators import NoAnnotator
from data_engine.annotation.provenance import Stamp
from data_engine.annotation.task import Annotated, Task, TaskPredictor
from data_engine.executors.local import LocalExecutor
from data_engine.phases.claim import STOPPED, claimed, is_held, read_attempts
from data_engine.phases.phase import Phase
from data_engine.phases.shard_work import TRIES, ShardJob, ShardWork, annotate_shard
from data_engine.pool import Pool, to_sample
from data_engine.run_folder import read_json
from sam_train.data.scenes import SceneSet
from sam_train.data.store.bad_samples import BadSampleLog
from sam_train.data.store.shards import read_shard, write_shard
from sam_train.modeling.sam import Sam

Phases = dict[str, Callable[..., Any]]


class Deadly(Phase):
    """A phase that some images kill, or raise in."""

    def __init__(self, inner: Phase, *keys: str, kill: bool) -> None:
        self.inner, self.keys, self.kill = inner, keys, kill

    def annotate(self, task: Task) -> Annotated:
        if task.key in self.keys and self.kill:
            os.kill(os.getpid(), 9)
        if task.key in self.keys:
            raise RuntimeError("CUDA out of memory")
        return self.inner.annotate(task)


@pytest.fixture
def jobs(tmp_path: Path) -> list[ShardJob]:
    """Two shards of two images."""
    images = [
        to_sample(image, image_id=i, with_masks=False)
        for i, image in enumerate(SceneSet("scenes", 4, image_size=64))
    ]
    jobs = []
    for number in range(2):
        shard = tmp_path / f"images/{number}.tar"
        write_shard(shard, images[2 * number : 2 * number + 2])
        layer, stats = tmp_path / f"layer/{number}.tar", tmp_path / f"annotate/{number}.stats.json"
        jobs.append(ShardJob(shard, None, layer, stats))
    return jobs


def phase(phases: Phases, predictor: TaskPredictor, stamp: Stamp) -> Phase:
    return phases["fully_automatic"](
        predictor, stamp, NoAnnotator(predictor, stamp, lambda key: [])
    )


def test_a_journal_tells_of_its_attempts_and_goes_with_the_last(tmp_path: Path) -> None:
    path = tmp_path / "a.claim"
    for error in (KeyError("a bug"), KeyboardInterrupt(), ValueError("to mend")):
        with pytest.raises(type(error)), claimed(path) as claim:
            claim.begin("first", masks=0)
            claim.begin("second", masks=3)
            assert is_held(path)
            raise error

    attempts = read_attempts(path)
    assert [attempt.ended for attempt in attempts] == ["KeyError: 'a bug'", STOPPED, STOPPED]
    assert {(a.image, a.images, a.masks) for a in attempts} == {("second", 2, 3)}
    assert not is_held(path)
    with claimed(path):
        pass
    assert not path.exists()


def test_a_line_that_its_writer_died_in_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.claim"
    path.write_text('\n{"worker": "host:1", "started": 1.0}\n{"image": "first", "mas')
    with pytest.raises(KeyboardInterrupt), claimed(path):
        raise KeyboardInterrupt

    assert [attempt.worker for attempt in read_attempts(path)][0] == "host:1"
    assert read_attempts(path)[1].ended == STOPPED


@pytest.mark.parametrize(
    ("error", "suspect"),
    [(RuntimeError("no memory"), True), (TypeError("a bug"), False), (KeyboardInterrupt(), False)],
)
def test_an_image_is_suspect_after_a_failure_that_may_be_its_own(
    tmp_path: Path, error: BaseException, suspect: bool
) -> None:
    path = tmp_path / "a.claim"
    with pytest.raises(type(error)), claimed(path) as claim:
        assert not claim.begin("image", masks=0)
        raise error
    with claimed(path) as claim:
        assert claim.begin("image", masks=0) == suspect
        assert not claim.begin("another", masks=0)


def test_kills_from_outside_cost_no_mask(
    jobs: list[ShardJob], phases: Phases, predictor: TaskPredictor, stamp: Stamp, tmp_path: Path
) -> None:
    bad_samples = tmp_path / "bad_samples.jsonl"
    work = (phase(phases, predictor, stamp), BadSampleLog(bad_samples))
    unbroken = annotate_shard(jobs[0], *work)
    jobs[0].stats.unlink()
    attempt = [{"worker": "host:1", "started": 1.0}, {"image": "000000", "masks": 0}]
    jobs[0].claim.write_text("\n".join(map(json.dumps, attempt * 20)))

    again = annotate_shard(jobs[0], *work)
    assert {**unbroken, "seconds": again["seconds"]} == again and again["masks"] > 0
    assert not bad_samples.exists()


@pytest.mark.parametrize("kill", [False, True])
def test_an_image_that_ends_its_workers_fails_alone(
    jobs: list[ShardJob],
    phases: Phases,
    predictor: TaskPredictor,
    stamp: Stamp,
    sam: Sam,
    tmp_path: Path,
    kill: bool,
) -> None:
    key = next(read_shard(jobs[0].images)).key
    deadly = Deadly(phase(phases, predictor, stamp), key, kill=kill)
    work = ShardWork(sam, deadly, BadSampleLog(tmp_path / "bad_samples.jsonl"))
    results = list(LocalExecutor(2).run(work, jobs))

    assert sorted(stats["bad"] for stats in results) == [0, 1]
    assert sum(stats["images"] for stats in results) == 4
    listed = (tmp_path / "bad_samples.jsonl").read_text()
    reason = "a worker process was killed" if kill else "RuntimeError: CUDA out of memory"
    assert listed.count("\n") == 1 and f"it ended {TRIES} processes of its own" in listed
    assert '"kind": "DeadlyImage"' in listed and key in listed and reason in listed


def test_several_deadly_images_in_a_row_end_the_run_and_are_done_when_it_goes_on(
    phases: Phases, predictor: TaskPredictor, stamp: Stamp, sam: Sam, tmp_path: Path
) -> None:
    images = enumerate(SceneSet("scenes", 4, image_size=64))
    samples = [to_sample(image, image_id=i, with_masks=False) for i, image in images]
    write_shard(tmp_path / "0.tar", samples)
    job = ShardJob(tmp_path / "0.tar", None, tmp_path / "layer.tar", tmp_path / "0.stats.json")
    whole, bad_samples = phase(phases, predictor, stamp), BadSampleLog(tmp_path / "bad.jsonl")
    starved = Deadly(whole, *(sample.key for sample in samples), kill=False)

    with pytest.raises(OSError, match="3 images in a row .*out of memory.*lower executor.workers"):
        list(LocalExecutor(2).run(ShardWork(sam, starved, bad_samples), [job]))
    assert not job.done and not bad_samples.counts()

    (stats,) = LocalExecutor(2).run(ShardWork(sam, whole, bad_samples), [job])
    assert (stats["images"], stats["bad"]) == (4, 0) and not bad_samples.counts()


def test_the_pool_is_not_sent_to_workers_of_the_automatic_phase(
    phases: Phases, predictor: TaskPredictor, stamp: Stamp
) -> None:
    known_masks = Pool([SceneSet("scenes", 2, image_size=64)]).known_masks
    annotator = NoAnnotator(predictor, stamp, known_masks)
    automatic = phases["fully_automatic"](predictor, stamp, annotator)

    assert b"SceneSet" in pickle.dumps(annotator)
    assert b"SceneSet" not in pickle.dumps(automatic)


def test_a_shard_that_another_worker_has_is_waited_for_and_not_redone(
    jobs: list[ShardJob], phases: Phases, predictor: TaskPredictor, stamp: Stamp, tmp_path: Path
) -> None:
    on_bad = BadSampleLog(tmp_path / "bad_samples.jsonl")
    args = (jobs[0], phase(phases, predictor, stamp), on_bad)
    with claimed(jobs[0].claim):
        other = multiprocessing.get_context("fork").Process(target=annotate_shard, args=args)
        other.start()
        other.join(0.3)
        assert other.is_alive() and not jobs[0].done
    other.join()
    written = jobs[0].layer.stat().st_mtime_ns

    assert annotate_shard(*args) == read_json(jobs[0].stats)
    assert jobs[0].layer.stat().st_mtime_ns == written
    assert not jobs[0].claim.exists()
