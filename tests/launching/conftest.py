"""Jobs that take no time, and the arguments of the smallest training."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sam_train.launching.job import Job


@pytest.fixture
def job(tmp_path: Path) -> Callable[[str, str], Job]:
    """Makes a job of some lines of Python."""

    def make(name: str, code: str) -> Job:
        return Job(name, tmp_path / name, (sys.executable, "-c", code))

    return make


@pytest.fixture
def small_training(dataset: Path) -> list[str]:
    """Seconds on one CPU; dropout shows whether a resumed run draws as the unbroken one does."""
    return [
        *(f"dataset={dataset}", "threads=1", "mask_size=16", "model.image_size=64"),
        *("model.dropout=0.1", "model.drop_path_rate=0.1", "fit.warm_start.steps=2"),
    ]
