"""What may be written on a command line beside KEY=VALUE, in words that Hydra takes."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser

from sam_train.settings.headings import CONFIGS, options

YES = {"print_config=true", "print_config=True", "print_config=1"}


def prepared(arguments: Sequence[str]) -> list[str]:
    """The arguments for Hydra. Paths of configs are those of the working folder, as everywhere.

    `--from RUN_DIR` becomes the config that lies there. ValueError for an option there is not.
    """
    words = ["--cfg=job" if word in YES else word for word in arguments]
    run_dir, words = taken(words, "--from")
    folder, words = taken(words, "--config-path", "-cp", "--config-dir", "-cd")
    name, words = taken(words, "--config-name", "-cn")
    if name and (len(Path(name).parts) > 1 or name.endswith(".yaml")):
        folder, name = str(Path(name).parent), Path(name).stem
    if run_dir:
        folder, name = run_dir, "config"
        if not (Path(run_dir) / "config.yaml").is_file():
            raise ValueError(f"{run_dir} holds no run (no config.yaml): name its output_dir")
        words += ["hydra.run.dir=${output_dir}", "hydra.output_subdir=null"]
    for number, word in enumerate(words):
        if found := from_file(word):
            words[number], folder = found
    if folder and not Path(folder).is_dir():
        raise ValueError(f"there is no folder {folder} with configs: check the name")
    check_options(words)
    named = [f"--config-name={name}"] if name else []
    return [*words, *([f"--config-dir={Path(folder).absolute()}"] if folder else []), *named]


def taken(words: Sequence[str], *flags: str) -> tuple[str | None, list[str]]:
    """The value of an option, `--flag VALUE` or `--flag=VALUE`, and the other words."""
    value, rest, waiting = None, [], iter(words)
    for word in waiting:
        flag, equals, text = word.partition("=")
        if flag not in flags:
            rest.append(word)
        elif value := text if equals else next(waiting, None):
            continue
        else:
            raise ValueError(f"{flag} names nothing: write {flag} PATH")
    return value, rest


def from_file(word: str) -> tuple[str, str] | None:
    """GROUP=PATH/GROUP/NAME.yaml as GROUP=NAME and the folder to look for it."""
    group, _, value = word.partition("=")
    path = Path(value)
    if not value.endswith(".yaml") or not options(group):
        return None
    if not path.is_file():
        raise ValueError(f"there is no file {path}: check the name")
    if path.absolute().parent.name != group:
        raise ValueError(f"{path} must lie in a folder named {group} to be a choice of it: move it")
    if path.absolute().parents[1] == CONFIGS:
        return f"{group}={path.stem}", ""
    return f"{group}={path.stem}", str(path.absolute().parents[1])


def check_options(words: Sequence[str]) -> None:
    """Raises a ValueError for an option that there is not."""
    known = get_args_parser()._option_string_actions
    for word in words:
        flag, equals, value = word.partition("=")
        if flag.startswith("-") and flag not in known:
            name = flag.lstrip("-").replace("-", "_")
            raise ValueError(f"there is no option {flag}: write {name}={value or 'VALUE'}")


def parsed(arguments: Sequence[str]) -> Namespace:
    """Hydra's own reading: overrides, config_dir, config_name, help and others."""
    return get_args_parser().parse_args(list(arguments))
