"""The folder of a training belongs to one process, and what is in it to one config."""

from pathlib import Path
from typing import Any

import pytest

from sam_train.train import claim, is_first_rank
from sam_train.training.safety.sealed_files import checkpoint_folder

CONFIG: dict[str, Any] = {"dataset": "a", "max_steps": 5, "trainer": {"devices": 1}, "threads": 1}


def test_a_finished_training_is_not_taken_for_that_of_another_config(tmp_path: Path) -> None:
    claim(tmp_path, CONFIG)
    claim(tmp_path, {**CONFIG, "dataset": "b"})  # nothing was made of the first one
    (tmp_path / "model.safetensors").touch()

    claim(tmp_path, {**CONFIG, "dataset": "b", "threads": 2})
    with pytest.raises(ValueError, match="holds a run with max_steps=5, this one has max_steps=9"):
        claim(tmp_path, {**CONFIG, "dataset": "b", "max_steps": 9})
    assert "max_steps: 5" in (tmp_path / "config.yaml").read_text()


def test_an_interrupted_training_goes_on_with_its_data_only(tmp_path: Path) -> None:
    claim(tmp_path, CONFIG)
    checkpoint_folder(tmp_path).mkdir()
    (checkpoint_folder(tmp_path) / "step-000000001-abc.ckpt").touch()

    claim(tmp_path, {**CONFIG, "max_steps": 9, "trainer": {"devices": 2}})
    with pytest.raises(ValueError, match="holds a run with dataset=a, this one has dataset=b"):
        claim(tmp_path, {**CONFIG, "dataset": "b"})


def test_only_the_first_rank_holds_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_first_rank()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not is_first_rank()
