"""A run whose folder cannot be used says so in one sentence, before torch is loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sam_train.run_folder import locked

ROOT = Path(__file__).parents[1]
TRAIN = "sam_train.train dataset=data output_dir=disk/run"
PHASE = "data_engine.run phase=fully_automatic pool=folder pool.path=data checkpoint=m "
# In a namespace of its own a process may mount.
PRIVATE = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset without a version, and where a disk may be mounted."""
    (tmp_path / "data" / "manifests").mkdir(parents=True)
    (tmp_path / "disk").mkdir()
    return tmp_path


def said(command: list[str], folder: Path) -> str:
    """What a command that fails says on its last line."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 1
    return run.stderr.splitlines()[-1]


@pytest.mark.skipif(
    subprocess.run([*PRIVATE, "mount -t tmpfs x /tmp"], capture_output=True).returncode != 0,
    reason="nothing may be mounted here",
)
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("ro", "disk/run: Read-only file system: name a place that can be written"),
        ("size=4k,nr_inodes=2", "No space left on device: make room and run again"),
    ],
)
@pytest.mark.parametrize("run", [TRAIN, PHASE + "output_dir=disk/run"])
def test_a_disk_that_cannot_be_written_is_told(
    folder: Path, run: str, options: str, sentence: str
) -> None:
    mount = f"mount -t tmpfs -o {options} x disk; touch disk/file || true"
    script = f"{mount}; exec {sys.executable} -m {run}"

    assert sentence in said([*PRIVATE, script], folder)


def test_a_folder_in_which_another_run_works_is_refused(folder: Path) -> None:
    with locked(folder / "disk" / "run"):
        told = said([sys.executable, "-m", *TRAIN.split()], folder)

    assert told.startswith("train: another run is working in disk/run: wait for it, end it, or")
