"""The folder of a run of the engine: one config for its whole life, whole files only."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sam_train import run_folder
from sam_train.data.store.durable import durable_file
from sam_train.run_folder import require_same

# What may differ when a run goes on: where and how fast it runs, not what it makes.
FREE_KEYS = {"executor", "output_dir"}
CONFIGS = "configs"  # of a dataset: every config that made something in it


def write_json(path: Path, content: Any) -> None:
    """Writes a whole file or none."""
    with durable_file(path) as file:
        file.write(json.dumps(content, indent=1).encode())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def config_sha256(config: Mapping[str, Any]) -> str:
    """The hash of what decides about the results."""
    return run_folder.config_sha256(config, free=FREE_KEYS)


def claim(folder: Path, config: Mapping[str, Any], command: str) -> str:
    """Writes config.yaml and command.txt, or checks that a run goes on with its own config.

    Returns the hash of the config. Another config raises a ValueError that names the first
    key that differs; before there is a dataset, nothing depends on the config yet.
    """
    path = folder / "config.yaml"
    if path.exists() and holds_shards(folder / "dataset"):
        before = yaml.safe_load(path.read_text())
        require_same(_decisive(before), _decisive(config), folder=folder)
    else:
        for name, text in (
            ("command.txt", command + "\n"),
            ("config.yaml", yaml.safe_dump(dict(config), sort_keys=False)),
        ):
            with durable_file(folder / name) as file:
                file.write(text.encode())
    keep_config(folder / "dataset", config)
    return config_sha256(config)


def keep_config(dataset: Path, config: Mapping[str, Any]) -> None:
    """Writes the config into a dataset, under the hash by which manifests and masks name it."""
    with durable_file(dataset / CONFIGS / f"{config_sha256(config)}.yaml") as file:
        file.write(yaml.safe_dump(dict(config), sort_keys=False).encode())


def holds_shards(dataset: Path) -> bool:
    """Whether anything but configs was written into a dataset."""
    return dataset.is_dir() and any(path.name != CONFIGS for path in dataset.iterdir())


def _decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    return run_folder.decisive(config, FREE_KEYS)
