"""The best row of a sweep as an experiment file, which is a diff like any other."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import configs
from tools.sweeps.groups import Group
from tools.sweeps.runs import as_value

# What a command says anew: the data, and which of several equal runs it is.
LEFT_OUT = ("dataset", "seed", "run_name")


def experiment_file(group: Group, *, folder: Path, measure: str) -> str:
    """The text of an experiment that `--config-dir=FOLDER experiment=best` gives to a training."""
    overrides = group.runs[0].overrides
    kept = {key: value for key, value in overrides.items() if key.lstrip("+") not in LEFT_OUT}
    chosen = {key.lstrip("+"): kept.pop(key) for key in list(kept) if is_group(key.lstrip("+"))}
    tree: dict[str, Any] = {}
    for key, text in kept.items():
        put(tree, key.lstrip("+").split("."), as_value(text))
    defaults: list[Any] = [chosen.pop("experiment")] if "experiment" in chosen else []
    defaults += [{f"override /{key}": value} for key, value in chosen.items()]
    folders = ", ".join(run.folder.name for run in group.runs)
    heading = [
        "# @package _global_",
        f"# The best of {folder}: {measure} {group.mean(measure):.3f} ({folders}).",
        f"#   python -m sam_train.train --config-dir={shlex.quote(str(folder))} experiment=best "
        "dataset=DATASET",
    ]
    name = f"best_of_{folder.name}"
    body = {"defaults": defaults, "run_name": name, "output_dir": f"outputs/{name}"} | tree
    return "\n".join([*heading, yaml.safe_dump(body, sort_keys=False, width=96)])


def is_group(key: str) -> bool:
    """Whether a key chooses a file, as model=vit_b does."""
    return any((Path(path) / key).is_dir() for path in configs.__path__)


def put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    *inner, last = path
    for name in inner:
        tree = tree.setdefault(name, {})
    tree[last] = plain(value)


def plain(value: Any) -> Any:
    """A value as YAML keeps it; Hydra's quotes are not part of a word."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return value.strip("'\"") if isinstance(value, str) else value
