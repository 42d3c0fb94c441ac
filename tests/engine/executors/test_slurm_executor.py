"""Time limits of Slurm tasks, on a real daemon where the marker says so."""

import subprocess
import threading
import time
from pathlib import Path

import pytest

from data_engine.executors.slurm import IN_VAIN, SlurmExecutor, SlurmTask


def test_a_task_that_meets_its_time_limit_is_queued_again_until_that_is_in_vain(
    tmp_path: Path,
) -> None:
    pytest.importorskip("submitit")
    task = SlurmTask(tmp_path / "work.pkl")
    for _ in range(IN_VAIN - 1):
        task = task.checkpoint(["shard"]).function
        assert isinstance(task, SlurmTask)

    results, error = task.checkpoint(["shard"]).result()
    assert results == [] and "raise executor.minutes" in str(error)


def test_without_slurm_it_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ValueError, match="executor=slurm needs sbatch, which is not on this mach"):
        SlurmExecutor(1, folder=str(tmp_path))


@pytest.mark.slurm
@pytest.mark.usefixtures("slurm_cluster")
def test_a_partition_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Slurm has no partition fast: choose one of all, urgent"):
        SlurmExecutor(1, folder=str(tmp_path), partition="fast")


@pytest.mark.slurm
@pytest.mark.usefixtures("slurm_cluster")
def test_a_shard_that_is_longer_than_the_time_limit_ends_the_run(tmp_path: Path) -> None:
    started, ended = tmp_path / "started", threading.Event()

    def work(item: int) -> None:
        started.touch()
        time.sleep(600)

    def meet_time_limit() -> None:
        while not ended.wait(0.2):
            if started.exists():
                started.unlink()
                subprocess.run(["scancel", "--signal=USR2", "--me"], check=True)

    clock = threading.Thread(target=meet_time_limit)
    clock.start()
    try:
        with pytest.raises(OSError, match="met it 3 times: raise executor.minutes"):
            list(SlurmExecutor(1, folder=str(tmp_path / "slurm")).run(work, [0]))
    finally:
        ended.set()
        clock.join()
