"""A run folder belongs to one process."""

import threading
from pathlib import Path

import pytest

from sam_train.run_folder import locked


def test_two_runs_on_one_folder_are_refused(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(ValueError, match="another run is working in"),
        locked(tmp_path, patience_s=0.0),
    ):
        pass


def test_a_folder_is_waited_for_while_a_killed_run_winds_up(tmp_path: Path) -> None:
    first = locked(tmp_path)
    first.__enter__()
    threading.Timer(0.2, first.__exit__, (None, None, None)).start()
    with locked(tmp_path, patience_s=5.0):
        pass


def test_a_folder_is_free_again_after_its_run(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path):
            pass
