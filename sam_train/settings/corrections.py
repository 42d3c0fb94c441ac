"""The arguments of a command that Hydra refused, and what each should have been."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from sam_train.settings.headings import CONFIGS, commands, options, places
from sam_train.settings.nearest import did_you_mean, nearest
from sam_train.settings.signatures import signature_of


def correction(command: Namespace, *, config_name: str) -> str | None:
    """One sentence about the first argument that is wrong; None if each alone is right."""
    for argument in command.overrides:
        if sentence := unreadable(argument):
            return sentence
    overrides = OverridesParser.create().parse_overrides(command.overrides)
    extra = Path(command.config_dir) if command.config_dir else None
    choices = [each for each in overrides if options(each.key_or_group, extra)]
    for override in choices:
        if sentence := wrong_choice(override, config_name, extra):
            return sentence
    config = composed(config_name, [first_of(each) for each in choices], extra)
    if config is None:
        return None
    values = (each for each in overrides if each not in choices)
    return next(filter(None, (wrong_key(config, each, config_name) for each in values)), None)


def unreadable(argument: str) -> str | None:
    """What is wrong with an argument that does not have the form KEY=VALUE."""
    key, equals, value = argument.partition("=")
    if not key:
        return f"{argument} has no key: write KEY={value}"
    if not equals and not key.startswith("~"):
        return f"{argument} has no value: write {argument}=VALUE"
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return (
            f"{argument} cannot be read: close brackets and quotes; a text with spaces, commas "
            f"or = stands in quotes, '{key}=\"a text\"'"
        )
    return None


def composed(config_name: str, choices: list[str], extra: Path | None) -> DictConfig | None:
    """The config with nothing but the choices; None where these do not go together."""
    GlobalHydra.instance().clear()
    is_run = config_name not in commands()
    folder = extra if is_run and extra else CONFIGS
    searched = [f"hydra.searchpath=['file://{extra}']"] if extra and not is_run else []
    try:
        with initialize_config_dir(str(folder), version_base="1.3"):
            return compose(config_name, [*choices, *searched])
    except HydraException:
        return None


def wrong_choice(override: Override, config_name: str, extra: Path | None) -> str | None:
    """What is wrong with GROUP=CHOICE."""
    group, known = override.key_or_group, places(config_name)
    key = f"{group}@{override.package}" if override.package else group
    if key not in known:
        is_change = not (override.is_add() or override.is_delete())
        return not_here(group, config_name) if is_change else None
    if override.is_add():
        return f"{key} has a choice already: leave out the +, {key}={override.value()}"
    there = options(group, extra)
    for named in map(str, swept(override)):
        if named not in there:
            listed = did_you_mean(named, there)
            return f"there is no {group}={named}: {listed} (--help {group} describes them)"
    return None


def swept(override: Override) -> list[Any]:
    """The choices of GROUP=A,B or GROUP=A; what is neither, such as null, is left out."""
    value = override.value()
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    return [each for each in values if isinstance(each, str | int | float)]


def first_of(override: Override) -> str:
    """The argument with the first of its choices alone."""
    line = override.input_line or ""
    if not override.is_choice_sweep():
        return line
    return f"{line.partition('=')[0]}={swept(override)[0]}"


def not_here(group: str, config_name: str) -> str:
    """Where a choice of this group may be made instead."""
    known = places(config_name)
    if config_name not in commands():
        return f"{group}={{...}} of a run stays as it is: change single values, {group}.KEY=VALUE"
    if inner := [place for place in known if place.partition("@")[0] == group]:
        return f"{group} alone is no choice here: did you mean {' or '.join(inner)}?"
    others = [name for name in commands() if group in places(name)]
    named = " and ".join(filter(None, [", ".join(others[:-1]), *others[-1:]]))
    takers = f"{named} {'do' if len(others) > 1 else 'does'}"
    return f"{config_name} takes no {group}=, {takers if others else 'no command does'}"


def wrong_key(config: DictConfig, override: Override, config_name: str) -> str | None:
    """What is wrong with the key of KEY=VALUE, +KEY=VALUE or ~KEY."""
    key, known = override.key_or_group, dotted_keys(OmegaConf.to_container(config))
    if key.partition(".")[0] == "hydra" or override.is_force_add():
        return None
    if override.is_add():
        told = f"{key} is there already: leave out the +, {(override.input_line or '')[1:]}"
        return told if key in known else None
    if key in known:
        return None
    parent, _, name = key.rpartition(".")
    node: Any = OmegaConf.select(config, parent) if parent else config
    if node is None and parent in known:
        if parent in places(config_name):
            return f"{parent} is not chosen, so there is no {key}: add {parent}=CHOICE"
        return f"{parent} is null, so there is no {key}: write {parent}={{{name}: VALUE}}"
    if isinstance(node, DictConfig) and may_be_added(node, name):
        return f"{key} is not in the config yet: add it with a +, +{override.input_line}"
    return f"there is no {key}: {suggestion(config, key, config_name)}"


def check_added(arguments: Sequence[str], *, config_name: str) -> None:
    """Raises a ValueError for a key at the top that a + added, which nothing would read."""
    path = CONFIGS / f"{config_name}.yaml"
    known = [*yaml.safe_load(path.read_text()), *places(config_name)]
    for argument in arguments:
        key = argument.partition("=")[0].lstrip("+")
        if argument.startswith("+") and not {".", "@", "/"} & set(key) and not options(key):
            raise ValueError(f"nothing reads {key}: {did_you_mean(key, known)}")


def may_be_added(node: DictConfig, name: str) -> bool:
    """Whether a part's constructor has a parameter of this name."""
    signature = signature_of(node["_target_"]) if "_target_" in node else None
    return signature is not None and name in signature.hints


def suggestion(config: DictConfig, key: str, config_name: str) -> str:
    """The nearest keys: first beside the wrong one, then anywhere."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else None
    if isinstance(node, DictConfig):
        names = [str(each) for each in node if not str(each).startswith("_")]
        if nearest(name, names):
            return did_you_mean(name, names, parent)
    if near := nearest(key, [*dotted_keys(OmegaConf.to_container(config)), *places(config_name)]):
        return f"did you mean {' or '.join(near)}?"
    return "--help lists the choices, --cfg job every key"


def dotted_keys(node: Any, prefix: str = "") -> list[str]:
    """Every key of a plain container, at any depth; what a key points to is not followed."""
    found = []
    for name, value in node.items():
        key = f"{prefix}{name}"
        found += [] if str(name).startswith("_") else [key]
        if isinstance(value, dict):
            found += dotted_keys(value, f"{key}.")
    return found
