"""A run of two processes that is killed again and again ends with the weights of one that is not.

.venv/bin/python -m pytest -m slow tests/training/safety/test_kill.py
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

KILLS = int(os.environ.get("SAM_TRAIN_KILLS", "10"))
STEPS = 60

pytestmark = pytest.mark.slow


def command(dataset: Path, output_dir: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "sam_train.train", "trainer=cpu2", "threads=1"),
        *(f"dataset={dataset}", f"output_dir={output_dir}", f"max_steps={STEPS}"),
        *("model.image_size=64", "model.dropout=0.1", "model.drop_path_rate=0.1", "mask_size=16"),
        *("fit.warm_start.steps=2", "+fit.checkpoints.every_n_steps=1", "fit.checkpoints.keep=3"),
        *("callbacks.pictures.every_n_steps=1000", "trainer.log_every_n_steps=5"),
    ]


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        arguments, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def newest_step(output_dir: Path) -> int:
    steps = [int(p.name.split("-")[1]) for p in (output_dir / "checkpoints").glob("step-*.ckpt")]
    return max(steps, default=0)


def test_a_run_that_is_killed_at_random_steps_ends_with_the_same_weights(
    dataset: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(command(dataset, whole)).wait() == 0
    rng, kills = random.Random(0), 0
    while not (killed / "model.safetensors").exists():
        goal = newest_step(killed) + rng.randint(1, max(1, STEPS // (KILLS + 2)))
        run = start(command(dataset, killed))
        while run.poll() is None and (newest_step(killed) < goal or kills == KILLS):
            time.sleep(0.02)
        time.sleep(rng.uniform(0.0, 0.2))  # in the middle of a step, or of writing
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            kills += 1
        assert run.wait() in (0, -signal.SIGKILL)
    print(f"killed {kills} times at work")
    assert kills >= min(KILLS, 3)
    expected, weights = (load_file(folder / "model.safetensors") for folder in (whole, killed))
    assert expected.keys() == weights.keys()
    assert all(bool((weights[name] == expected[name]).all()) for name in expected)
