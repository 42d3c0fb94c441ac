"""Values that a user must give, and an example of each from the headings of the configs."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sam_train.settings.headings import CONFIGS, heading

COMMENT = r"^\s*{name}: \?\?\?\s+# (.*)$"


def check_missing(cfg: DictConfig, may_lack: Collection[str] = ()) -> None:
    """Raises a ValueError about the first value that is not given."""
    for key in missing_keys(OmegaConf.to_container(cfg)):
        if key not in may_lack:
            raise ValueError(missing_sentence(key))


def missing_keys(node: Any, prefix: str = "") -> Iterator[str]:
    """The dotted keys of all `???`; what points to one is not followed."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from missing_keys(value, f"{prefix}.{name}" if prefix else str(name))
    elif node == "???":
        yield prefix


def missing_sentence(key: str) -> str:
    """What to add for a key that must be given.

    "dataset (folder with manifests/) is not given: add dataset=outputs/quickstart/dataset"
    """
    meaning = f" ({comment})" if (comment := comment_on(key)) else ""
    return f"{key}{meaning} is not given: add {key}={example_of(key) or 'VALUE'}"


def example_of(key: str) -> str | None:
    """The value that a command in a heading gives to a key; a real one before a PLACEHOLDER."""
    pattern = re.compile(rf"(?<![\w.]){re.escape(key)}=(\S+)")
    found = (pattern.search(heading(path)) for path in likely_files(key))
    values = [match[1].strip("'\"") for match in found if match]
    return next((value for value in values if not value.isupper()), next(iter(values), None))


def comment_on(key: str) -> str | None:
    """What the config says beside the `???` of a key."""
    group, _, name = key.partition(".")
    pattern = re.compile(COMMENT.format(name=re.escape(key.rpartition(".")[2])), re.MULTILINE)
    files = (CONFIGS / group).glob("*.yaml") if name else CONFIGS.glob("*.yaml")
    texts = (path.read_text() for path in sorted(files))
    return next((found[1] for text in texts if (found := pattern.search(text))), None)


def likely_files(key: str) -> Iterator[Path]:
    """The configs that may tell about a key: its group, the commands, then all others."""
    yield from sorted((CONFIGS / key.partition(".")[0]).glob("*.yaml"))
    yield from sorted(CONFIGS.glob("*.yaml"))
    yield from sorted(CONFIGS.glob("*/*.yaml"))
