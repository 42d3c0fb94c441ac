"""A job over a pool, interrupted on every executor: every image once, one and the same version.

python -m pytest -m "slow or slurm" tests/engine/executors

It has 48 drawn scenes and an untrained model, or what the environment says:

JOB_IMAGES=2000 JOB_PHOTOS=FOLDER JOB_MODEL=FILE.safetensors python -m pytest -m "slow or slurm" ...

Scenes fill up what the photographs below the folder leave. The Slurm daemons are Debian's (apt-get
install slurmctld slurmd munge), started for the test alone; without them it is skipped.
"""

import json
import multiprocessing
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from data_engine.executors.executor import Executor
from data_engine.executors.local import LocalExecutor
from data_engine.executors.ray import RayExecutor
from data_engine.executors.slurm import SlurmExecutor
from sam_train.data.store.durable import file_sha256
from sam_train.data.store.manifest import Dataset

Job = Callable[[Path, Executor], None]
Working = Callable[[Path], list[int]]


@pytest.fixture(scope="session")
def uninterrupted(
    job: Job, images: int, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    run_dir = tmp_path_factory.mktemp("uninterrupted")
    job(run_dir, LocalExecutor())
    whole = version(run_dir)
    assert sum(shard["image_count"] for shard in whole["shards"]) == images
    return whole


def version(run_dir: Path) -> dict[str, Any]:
    """The hashes of all tars and the shards of the only version; every image is in it once."""
    dataset = run_dir / "dataset"
    assert not list(dataset.rglob("*.partial")) and not list(run_dir.rglob("*.claim"))
    (manifest,) = dataset.glob("manifests/*.json")
    tars = {str(path.relative_to(dataset)): file_sha256(path) for path in dataset.rglob("*.tar")}
    shards = json.loads(manifest.read_text())["shards"]
    entries = Dataset(dataset).read("latest").shards
    keys = [sample.key for entry in entries for sample in Dataset(dataset).samples(entry)]
    assert len(keys) == len(set(keys)) == sum(shard["image_count"] for shard in shards)
    return {**tars, "shards": shards}


def kill_workers(
    run_dir: Path, *, ended: threading.Event, working: Working, times: int, longest_wait: float
) -> int:
    """Kills one that is at a shard at a random moment, again and again; returns how often."""
    chance, killed = random.Random(0), set[int]()
    while len(killed) < times and not ended.wait(chance.uniform(0, longest_wait)):
        alive = [process for process in working(run_dir) if process not in killed]
        for process in alive[:1]:  # a killed one holds its shard until it is next scheduled
            os.kill(process, 9)
            killed.add(process)
    return len(killed)


def while_running(job: Job, run_dir: Path, executor: Executor, meddle: Callable[..., Any]) -> Any:
    """Does the job, and meanwhile `meddle`, which is told when to give up; its result."""
    ended = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        meddling = thread.submit(meddle, run_dir, ended=ended)
        try:
            job(run_dir, executor)
        finally:
            ended.set()
    return meddling.result()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
@pytest.mark.parametrize(("executor", "times"), [(LocalExecutor(2), 8), (RayExecutor(2), 1)])
def test_killed_workers_leave_the_version_of_an_uninterrupted_run(
    job: Job,
    working: Working,
    images: int,
    uninterrupted: dict[str, Any],
    tmp_path: Path,
    executor: Executor,
    times: int,
) -> None:
    kill = partial(kill_workers, working=working, times=times, longest_wait=images / 160)
    killed = while_running(job, tmp_path / "run", executor, kill)

    assert killed == times
    assert version(tmp_path / "run") == uninterrupted


@pytest.mark.slow
def test_a_run_is_killed_with_its_workers_and_goes_on_under_another_number_of_them(
    job: Job, working: Working, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    first = multiprocessing.get_context("fork").Process(target=job, args=(run_dir, LocalExecutor()))
    first.start()
    while len(list(run_dir.glob("annotate/*.stats.json"))) < 3 or not working(run_dir):
        assert first.is_alive()
        time.sleep(0.01)
    first.kill()
    first.join()
    finished = {path: path.stat().st_mtime_ns for path in run_dir.glob("annotate/*.stats.json")}
    job(run_dir, LocalExecutor(2))

    assert version(run_dir) == uninterrupted
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


@pytest.mark.slurm
@pytest.mark.usefixtures("slurm_cluster")
def test_a_slurm_task_is_preempted(
    job: Job, working: Working, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    def preempt(run_dir: Path, ended: threading.Event) -> str:
        while not working(run_dir) and not ended.wait(0.05):
            pass
        running = ["squeue", "-h", "-r", "-t", "R", "-o", "%i"]
        task, *_ = subprocess.check_output(running, text=True).split()
        subprocess.run(["scontrol", "requeue", task], check=True)
        return task

    run_dir = tmp_path / "run"
    executor = SlurmExecutor(2, folder=str(run_dir / "slurm"))

    assert while_running(job, run_dir, executor, preempt)
    assert version(run_dir) == uninterrupted
