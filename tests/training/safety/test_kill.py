"""Runs of two processes that are killed again and again end with the weights of one that is not.

.venv/bin/python -m pytest -m slow tests/training/safety/test_kill.py
"""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from sam_train.training.safety.checkpoints import checkpoint_folder, sealed

KILLS = int(os.environ.get("SAM_TRAIN_KILLS", "10"))

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of forks, and Lightning's


def newest_step(folder: Path) -> int:
    return max((int(p.name.split("-")[1]) for p in sealed(checkpoint_folder(folder))), default=0)


def train_apart(train: Callable, folder: Path, max_steps: int) -> None:
    """The body of a process that leads a group of its own, which can be killed with its ranks."""
    os.setsid()
    train(folder, ranks=2, max_steps=max_steps, every_n_steps=1)


def kill_at(folder: Path, goal: int, pid: int, is_over: Callable[[], bool]) -> None:
    """Kills a group some time after the step `goal`: in a step, or while it writes."""
    while not is_over() and newest_step(folder) < goal:
        time.sleep(0.02)
    time.sleep(random.uniform(0.0, 0.2))
    if not is_over():
        os.killpg(pid, signal.SIGKILL)


def assert_same_weights(whole: Path, killed: Path) -> None:
    expected, weights = (load_file(folder / "model.safetensors") for folder in (whole, killed))
    assert expected.keys() == weights.keys()
    assert all(bool((weights[name] == expected[name]).all()) for name in expected)


def test_a_run_that_is_killed_at_random_steps_ends_with_the_same_weights(
    train: Callable, tmp_path: Path
) -> None:
    whole, killed, steps = tmp_path / "whole", tmp_path / "killed", 4 * KILLS
    train(whole, ranks=2, max_steps=steps, every_n_steps=1)
    random.seed(0)
    kills = 0
    while not (killed / "model.safetensors").exists():
        goal = newest_step(killed) + random.randint(1, 3)
        run = multiprocessing.get_context("fork").Process(
            target=train_apart, args=(train, killed, steps)
        )
        run.start()
        if kills < KILLS:
            kill_at(killed, goal, run.pid, lambda run=run: not run.is_alive())
        run.join()
        kills += run.exitcode == -signal.SIGKILL
    print(f"killed {kills} times at work")
    assert kills == KILLS
    assert_same_weights(whole, killed)


def test_the_command_goes_on_after_a_kill(dataset: Path, tmp_path: Path) -> None:
    def command(output_dir: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "sam_train.train", "trainer=cpu2", "threads=1"),
            *(f"dataset={dataset}", f"output_dir={output_dir}", "max_steps=20", "mask_size=16"),
            *("model.image_size=64", "model.dropout=0.1", "model.drop_path_rate=0.1"),
            *("fit.warm_start.steps=2", "+fit.checkpoints.every_n_steps=1"),
        ]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(whole), check=True)
    run = subprocess.Popen(command(killed), start_new_session=True)
    kill_at(killed, 6, run.pid, lambda: run.poll() is not None)
    assert run.wait() == -signal.SIGKILL
    subprocess.run(command(killed), check=True)
    assert_same_weights(whole, killed)
