"""A run of the engine has one config."""

from pathlib import Path

import pytest

from data_engine.run_folder import claim


def test_another_config_is_refused_with_the_key_that_differs(tmp_path: Path) -> None:
    config = {"seed": 0, "pool": {"limit": 4}, "executor": {"workers": 1}}
    claim(tmp_path, config, "command")
    (tmp_path / "dataset" / "images").mkdir()

    with pytest.raises(ValueError, match="pool.limit=4, this one has pool.limit=5"):
        claim(tmp_path, {**config, "pool": {"limit": 5}}, "command")


def test_a_run_may_go_on_with_more_workers(tmp_path: Path) -> None:
    first = claim(tmp_path, {"seed": 0, "executor": {"workers": 1}}, "first")
    (tmp_path / "dataset" / "images").mkdir()

    assert claim(tmp_path, {"seed": 0, "executor": {"workers": 2}}, "second") == first
    assert (tmp_path / "command.txt").read_text() == "first\n"


def test_a_mistake_in_the_first_command_can_be_corrected(tmp_path: Path) -> None:
    claim(tmp_path, {"pool": {"path": "/misspelt"}}, "first")
    claim(tmp_path, {"pool": {"path": "/right"}}, "second")

    assert "/right" in (tmp_path / "config.yaml").read_text()
