"""A run is repeated from its folder by one command, with what was composed then."""

from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from sam_train.run_folder import config_sha256
from sam_train.settings.arguments import parsed, prepared
from sam_train.settings.headings import CONFIGS
from sam_train.train import FREE_KEYS, claim


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """The folder of a training that was begun with other values than the configs'."""
    arguments = ["dataset=data", "model.image_size=128", "optim=paper", f"output_dir={tmp_path}"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = compose("train", arguments)
    claim(tmp_path, OmegaConf.to_container(cfg))
    return tmp_path


def repeated(*arguments: str) -> dict:
    command = parsed(prepared(arguments))
    with initialize_config_dir(command.config_dir, version_base="1.3"):
        return OmegaConf.to_container(compose(command.config_name, command.overrides))


def test_a_repeated_run_has_the_config_of_the_first(run_dir: Path) -> None:
    before = yaml.safe_load((run_dir / "config.yaml").read_text())
    again = repeated("--from", str(run_dir), "output_dir=elsewhere")

    assert again == before | {"output_dir": "elsewhere"}
    one, other = (config_sha256(config, free=FREE_KEYS) for config in (before, again))
    assert one == other


def test_a_value_that_others_point_to_may_be_changed(run_dir: Path) -> None:
    again = OmegaConf.create(repeated(f"--from={run_dir}", "seed=7", "output_dir=elsewhere"))

    assert again.data.make_example.seed == again.fit.module.seed == 7
    assert again.data.make_example.image_size == 128


def test_a_folder_without_a_run_cannot_be_repeated(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no run"):
        prepared(["--from", str(tmp_path)])
    with pytest.raises(ValueError, match="--from names nothing"):
        prepared(["--from"])
