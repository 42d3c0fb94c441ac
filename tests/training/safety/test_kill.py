"""Runs of two processes that are killed again and again end with the weights of one that is not.

.venv/bin/python -m pytest -m slow tests/training/safety/test_kill.py
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest
from safetensors.torch import load_file

from sam_train.training.safety.sealed_files import checkpoint_folder, sealed

KILLS = int(os.environ.get("SAM_TRAIN_KILLS", "10"))

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of forks, and Lightning's


def newest_step(folder: Path) -> int:
    return max((int(p.name.split("-")[1]) for p in sealed(checkpoint_folder(folder))), default=0)


def kill_all(ranks: list[ForkProcess]) -> None:
    for rank in ranks:
        rank.kill()


def is_over(rank: ForkProcess) -> bool:
    return not rank.is_alive()


def kill_after(folder: Path, goal: int, kill: Callable, over: Callable[[], bool]) -> None:
    """Kills a run some time after the step `goal`: in a step, or while it writes."""
    while not over() and newest_step(folder) < goal:
        time.sleep(0.02)
    time.sleep(random.uniform(0.0, 0.2))
    if not over():
        kill()


def assert_same_weights(whole: Path, killed: Path) -> None:
    expected, weights = (load_file(folder / "model.safetensors") for folder in (whole, killed))
    assert expected.keys() == weights.keys()
    assert all(bool((weights[name] == expected[name]).all()) for name in expected)


def test_a_run_that_is_killed_at_random_steps_ends_with_the_same_weights(
    start_ranks: Callable, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    settings = {"max_steps": 4 * KILLS, "every_n_steps": 1}
    for rank in start_ranks(whole, **settings):
        rank.join()
    random.seed(0)
    kills = 0
    while not (killed / "model.safetensors").exists():
        goal = newest_step(killed) + random.randint(1, 3)
        first, second = start_ranks(killed, **settings)
        if kills < KILLS:
            either_first = random.sample([first, second], 2)
            kill_after(killed, goal, partial(kill_all, either_first), partial(is_over, first))
        for rank in (first, second):
            rank.join()
        kills += -signal.SIGKILL in (first.exitcode, second.exitcode)
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
    kill_after(
        killed, 6, lambda: os.killpg(run.pid, signal.SIGKILL), lambda: run.poll() is not None
    )
    assert run.wait() == -signal.SIGKILL
    subprocess.run(command(killed), check=True)
    assert_same_weights(whole, killed)
