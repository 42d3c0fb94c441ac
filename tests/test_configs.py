"""Every config composes, resolves, and builds what exists with arguments that it takes."""

import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from sam_train.config_types import check_types

CONFIGS = Path(__file__).parents[1] / "configs"
ENTRY_POINTS = {
    "sam_train.train": "train",
    "sam_train.evaluate": "evaluate",
    "data_engine.run": "engine",
    "data_engine.serve": "serve",
    "tools.plan": "plan",
    "tools.doctor": "doctor",
    "tools.simulate_person": "simulate_person",
}
TEACHER = ["++teacher=MODEL", "++embeddings=FOLDER"]
PARTS = ["++first_steps=1", "++rest_steps=1"]
NEEDED = {  # by a choice, of the command
    "segment_anything": ["model_type=vit_b"],
    "encoder": TEACHER,
    "encoder_first": TEACHER + PARTS,
    "then_whole": PARTS,
    "then_prompts": TEACHER + PARTS,
    "masked_first": TEACHER + PARTS,
    "then_masks": TEACHER + PARTS,
}
INSTANTIATE_KEYS = {"_target_", "_partial_", "_recursive_", "_convert_"}


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def groups() -> list[str]:
    return sorted({path.parent.name for path in CONFIGS.glob("*/*.yaml")})


def composed(entry: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose(entry, list(overrides), return_hydra_config=True)


@cache
def chosen_groups(entry: str) -> dict[str, str | None]:
    return {k: v for k, v in composed(entry).hydra.runtime.choices.items() if "hydra/" not in k}


def entry_of(experiment: str) -> str:
    """The entry point that the command in an experiment's heading calls."""
    text = (CONFIGS / "experiment" / f"{experiment}.yaml").read_text()
    command = re.search(rf"^#.*-m (\S+) .*experiment={experiment}\b", text, re.MULTILINE)
    assert command, f"experiment/{experiment}.yaml does not start with its command"
    return ENTRY_POINTS[command[1]]


def targets(node: Any) -> Iterator[dict[str, Any]]:
    """Every mapping with a `_target_`, at any depth."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from targets(child)


def with_user_values(node: Any) -> Any:
    """The same tree with an answer for everything that a user must say."""
    if isinstance(node, dict):
        return {key: with_user_values(child) for key, child in node.items() if key != "hydra"}
    if isinstance(node, list):
        return [with_user_values(child) for child in node]
    return "said by the user" if node == "???" else node


def unknown_keys(node: dict[str, Any]) -> set[str]:
    """Keys of a mapping with a `_target_` that its target has no parameter for."""
    try:
        parameters = inspect.signature(get_object(node["_target_"])).parameters
    except ValueError:  # a builtin type that does not tell
        return set()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return set()
    return node.keys() - INSTANTIATE_KEYS - parameters.keys()


def check(cfg: DictConfig) -> None:
    """Interpolations resolve; every target exists and takes the keys beside it."""
    complete = OmegaConf.create(with_user_values(OmegaConf.to_container(cfg)))
    values = OmegaConf.to_container(complete, resolve=True)
    check_types(values)
    for node in targets(values):
        assert not unknown_keys(node), f"{node['_target_']} takes no {unknown_keys(node)}"


@pytest.mark.parametrize("entry", ENTRY_POINTS.values())
def test_every_entry_point_composes(entry: str) -> None:
    check(composed(entry))


@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_experiment_composes(experiment: str) -> None:
    check(composed(entry_of(experiment), f"experiment={experiment}"))


@pytest.mark.parametrize(
    ("experiment", "first", "rest"),
    [
        ("distill_tiny", "encoder_first", "then_whole"),
        ("distill_tiny", "encoder_first", "then_prompts"),
        ("distill_sami", "masked_first", "then_masks"),
    ],
)
def test_a_distillation_in_two_parts_has_as_many_steps_as_one(
    experiment: str, first: str, rest: str
) -> None:
    def steps(distillation: str, *given: str) -> int:
        chosen = (f"experiment={experiment}", f"distillation={distillation}")
        return composed("train", *chosen, *TEACHER, *given).max_steps

    assert steps(first) + steps(rest) == steps("from_scratch")
    assert steps(first, "first_steps=4") == steps(rest, "rest_steps=4") == 4


@pytest.mark.parametrize("group", sorted(set(groups()) - {"experiment"}))
def test_every_choice_of_a_group_composes(group: str) -> None:
    entries = [entry for entry in ENTRY_POINTS.values() if group in chosen_groups(entry)]
    assert entries, f"no entry point has the group {group}"
    for option in options(group):
        check(composed(entries[0], f"{group}={option}", *NEEDED.get(option, ())))


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_a_config_is_short_and_means_the_same_to_every_yaml_reader(path: Path) -> None:
    text = path.read_text()

    assert len(text.splitlines()) <= 40
    for value in re.findall(r":\s+([-+.\d]+e[-+]?\d+)\b", text):
        assert isinstance(yaml.safe_load(value), float), f"write {value} as 8.0e-4"
