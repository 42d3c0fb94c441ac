"""A job over a pool, interrupted on every executor: every image once, one and the same version.

python -m pytest -m "slow or slurm" tests/engine/executors

The Slurm daemons are Debian's (apt-get install slurmctld slurmd munge), started for the test alone;
without them it is skipped.
"""

import json
import multiprocessing
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_engine.executors.executor import Executor
from data_engine.executors.local import LocalExecutor
from data_engine.executors.ray import RayExecutor
from data_engine.executors.slurm import SlurmExecutor

Job = Callable[[Path, Executor], None]
Working = Callable[[Path], list[int]]


@pytest.fixture
def uninterrupted(job: Job, tmp_path: Path) -> dict[str, Any]:
    job(tmp_path / "uninterrupted", LocalExecutor())
    return version(tmp_path / "uninterrupted")


def version(run_dir: Path) -> dict[str, Any]:
    """The bytes of all tars and the shards of the only version."""
    dataset = run_dir / "dataset"
    assert not list(dataset.rglob("*.partial")) and not list(run_dir.rglob("*.claim"))
    (manifest,) = dataset.glob("manifests/*.json")
    tars = {str(path.relative_to(dataset)): path.read_bytes() for path in dataset.rglob("*.tar")}
    shards = json.loads(manifest.read_text())["shards"]
    assert sum(shard["image_count"] for shard in shards) == 48
    return {**tars, "shards": shards}


def kill_workers(run_dir: Path, working: Working, *, times: int, ended: threading.Event) -> int:
    """Kills one that is at a shard at a random moment, again and again; returns how often."""
    chance, killed = random.Random(0), set[int]()
    while len(killed) < times and not ended.wait(chance.uniform(0, 0.3)):
        alive = [process for process in working(run_dir) if process not in killed]
        for process in alive[:1]:  # a killed one holds its shard until it is next scheduled
            os.kill(process, 9)
            killed.add(process)
    return len(killed)


def run_and_kill(
    job: Job, run_dir: Path, executor: Executor, *, times: int, working: Working
) -> int:
    ended, killed = threading.Event(), list[int]()
    killer = threading.Thread(
        target=lambda: killed.append(kill_workers(run_dir, working, times=times, ended=ended))
    )
    killer.start()
    try:
        job(run_dir, executor)
    finally:
        ended.set()
        killer.join()
    return killed[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
@pytest.mark.parametrize(("executor", "times"), [(LocalExecutor(2), 8), (RayExecutor(2), 1)])
def test_killed_workers_leave_the_version_of_an_uninterrupted_run(
    job: Job,
    working: Working,
    uninterrupted: dict[str, Any],
    tmp_path: Path,
    executor: Executor,
    times: int,
) -> None:
    killed = run_and_kill(job, tmp_path / "run", executor, times=times, working=working)

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
    run_dir, logs = tmp_path / "run", tmp_path / "run/slurm"
    preempted: list[str] = []

    def preempt() -> None:
        while not working(run_dir):
            time.sleep(0.05)
        task = subprocess.check_output(["squeue", "-h", "-r", "-t", "R", "-o", "%i"], text=True)
        subprocess.run(["scontrol", "requeue", task.split()[0]], check=True)
        preempted.append(task.split()[0])

    thread = threading.Thread(target=preempt)
    thread.start()
    job(run_dir, SlurmExecutor(2, folder=str(logs)))
    thread.join()

    assert preempted
    assert version(run_dir) == uninterrupted
