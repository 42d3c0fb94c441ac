"""Trainings and sweeps as Slurm jobs that are preempted, on daemons started for the test.

python -m pytest -m slurm tests/launching
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file

from sam_train.launching.job import Job, read_record
from sam_train.launching.slurm import launch_on_slurm
from sam_train.training.safety.sealed_files import checkpoint_folder, sealed

ROOT = Path(__file__).parents[2]
TWO_RANKS = ["trainer=cpu2", "trainer.strategy.start_method=popen"]
PATIENCE_S = 900  # a busy machine takes minutes to import torch

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("slurm_cluster")]


@pytest.fixture(autouse=True)
def from_the_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """As a user would submit; the output of jobs goes to the test's folder."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("SBATCH_OUTPUT", str(tmp_path / "slurm-%j.log"))
    yield
    subprocess.run(["scancel", "--me"], check=True)


def sbatch(*arguments: str) -> str:
    """Submits a job and returns its id."""
    command = ["sbatch", "--parsable", *arguments]
    return subprocess.check_output(command, text=True).strip()


def train(output_dir: Path, settings: list[str], *, steps: int) -> str:
    """Submits slurm/train.sbatch with two tasks on this machine."""
    resources = ["--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1", "--gpus-per-node=0"]
    settings = [*settings, *TWO_RANKS, f"max_steps={steps}", "+fit.checkpoints.every_n_steps=1"]
    log = f"--output={output_dir}.log"
    return sbatch(*resources, log, "slurm/train.sbatch", *settings, f"output_dir={output_dir}")


def state(job: str) -> str:
    listed = subprocess.run(["squeue", "-h", "-j", job, "-o", "%T"], capture_output=True, text=True)
    return listed.stdout.strip()


def wait_for(condition: Callable[[], bool], log: Path) -> None:
    for _ in range(PATIENCE_S * 5):
        if condition():
            return
        time.sleep(0.2)
    raise TimeoutError(log.read_text() if log.exists() else "nothing was logged")


def steps_done(folder: Path) -> int:
    return len(sealed(checkpoint_folder(folder)))


def test_a_training_of_two_tasks_is_preempted_and_ends_with_the_same_weights(
    small_training: list[str], tmp_path: Path
) -> None:
    whole, preempted = tmp_path / "whole", tmp_path / "preempted"
    log = tmp_path / "preempted.log"
    first = train(preempted, small_training, steps=12)
    wait_for(lambda: steps_done(preempted) > 0, log)
    urgent = sbatch("--partition=urgent", "--ntasks=2", "--wrap=sleep 1")
    wait_for(lambda: state(urgent) == "", log)
    assert not (preempted / "model.safetensors").exists()
    train(whole, small_training, steps=12)  # while the other one waits to be queued again
    for folder in (whole, preempted):
        wait_for((folder / "model.safetensors").exists, tmp_path / f"{folder.name}.log")

    wait_for(lambda: state(first) == "", log)
    expected, weights = (load_file(each / "model.safetensors") for each in (whole, preempted))
    assert expected.keys() == weights.keys()
    assert all(bool((weights[name] == expected[name]).all()) for name in expected)


SAVES = """
import pathlib, signal, sys, time
saved = pathlib.Path(sys.argv[1])
def save(number, _):
    saved.touch()
    sys.exit(128 + number)
signal.signal(signal.SIGUSR1, save)
signal.signal(signal.SIGTERM, save)
print("again" if saved.exists() else "started", flush=True)
saved.exists() or time.sleep(900)
"""


def meet_time_limit() -> None:
    (task,) = {task for task in running_tasks() if task.endswith("_0")}
    subprocess.run(["scancel", "--signal=USR1", task], check=True)


def be_preempted() -> None:
    sbatch("--partition=urgent", "--ntasks=2", "--wrap=sleep 1")


@pytest.mark.parametrize("stop", [meet_time_limit, be_preempted])
def test_a_job_that_has_to_stop_saves_and_is_queued_again(
    stop: Callable[[], None], tmp_path: Path
) -> None:
    command = (sys.executable, "-c", SAVES, str(tmp_path / "saved"))
    long = Job("long", tmp_path / "long", command)
    short = Job("short", tmp_path / "short", (sys.executable, "-c", "print('done')"))
    log = long.folder / "output.log"

    def schedule() -> None:
        wait_for(lambda: log.exists() and "started" in log.read_text(), log)
        stop()

    scheduler = threading.Thread(target=schedule)
    scheduler.start()
    parameters = {"timeout_min": 60, "additional_parameters": {"requeue": True}}
    launch_on_slurm([long, short], folder=tmp_path, parameters=parameters)
    scheduler.join()

    assert log.read_text().split() == ["started", "again"]
    records = [read_record(job.folder) for job in (long, short)]
    assert [record.state for record in records if record] == ["finished", "finished"]
    assert [record.attempts for record in records if record] == [2, 1]


def running_tasks() -> list[str]:
    listed = subprocess.check_output(["squeue", "-h", "-r", "-t", "R", "-o", "%i"], text=True)
    return listed.split()


def test_a_sweep_is_an_array_and_runs_once(small_training: list[str], tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "sam_train.train", "--multirun", "launcher=slurm"),
        *(*small_training, "max_steps=2", f"output_dir={tmp_path}", "seed=0,1"),
    ]
    subprocess.run(command, check=True)
    for name in ("seed=0", "seed=1"):
        assert (tmp_path / name / "model.safetensors").exists()

    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 of 2 jobs are finished or queued already" in again.stdout


def test_a_partition_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    command = [sys.executable, "-m", "sam_train.train", "--multirun", "launcher=slurm", "seed=0,1"]
    settings = [f"dataset={tmp_path}", f"output_dir={tmp_path}", "hydra.launcher.partition=fast"]
    result = subprocess.run([*command, *settings], capture_output=True, text=True, env=os.environ)

    assert result.returncode == 1
    assert result.stderr == "train: Slurm has no partition fast: choose one of all, urgent\n"
