"""Entry points as a user meets them: help, and one sentence for what was typed wrong."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
MODULES = [target.partition(":")[0] for target in SCRIPTS.values()]


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs python in a folder of its own, where only an installed package would be found."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def assert_refused(result: subprocess.CompletedProcess[str], name: str) -> None:
    """A sentence on stderr that names the thing, no traceback, and a failing exit code."""
    assert result.returncode != 0
    assert name in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("target", SCRIPTS.values())
def test_a_console_script_finds_its_configs_from_any_folder(target: str, tmp_path: Path) -> None:
    module, _, function = target.partition(":")
    call = f"from {module} import {function}; {function}()"

    result = run(tmp_path, "-c", call, "--help")

    assert result.returncode == 0, result.stderr
    assert "Choices, GROUP=NAME" in result.stdout


@pytest.mark.parametrize("module", MODULES)
def test_an_unknown_key_is_named(module: str, tmp_path: Path) -> None:
    assert_refused(run(tmp_path, "-m", module, "colour=blue"), "colour")


@pytest.mark.parametrize(
    "command", [["sam_train.evaluate"], ["data_engine.run", "phase=fully_automatic"]]
)
def test_a_missing_checkpoint_is_named(command: list[str], tmp_path: Path) -> None:
    result = run(tmp_path, "-m", *command, "checkpoint=gone.safetensors")

    assert_refused(result, "gone.safetensors")


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("=3", "=3"),
        ("model=huge", "vit_h"),
        ("output_dir=/dev/null/run", "/dev/null"),
        ("output_dir=null", "output_dir"),
    ],
)
def test_what_hydra_cannot_use_is_named_in_one_line(
    argument: str, name: str, tmp_path: Path
) -> None:
    result = run(tmp_path, "-m", "sam_train.train", argument)

    assert_refused(result, name)
    assert len(result.stderr.splitlines()) == 1


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "run" / "train.log").mkdir(parents=True)

    assert_refused(run(tmp_path, "-m", "sam_train.train", "output_dir=run"), "train.log")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["sam_train.train", "dataset=.", "seed=-1"], "seed is -1, but must be at least 0"),
        (["data_engine.run", "phase=fully_automatic"], "needs a model: add checkpoint=FILE"),
        (["data_engine.run", "pool=folder", "pool.path=."], "engine lies inside pool.path"),
        (["data_engine.run", "images_per_shard=0"], "images_per_shard is 0"),
        (["data_engine.run", "evaluate.protocol.clicks=[1]"], "clicks lacks [3, 5]"),
        (["sam_train.evaluate", "threads=0"], "threads is 0"),
    ],
)
def test_what_is_missing_or_too_low_is_named(
    command: list[str], sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "manifests").mkdir()

    assert_refused(run(tmp_path, "-m", *command), sentence)
