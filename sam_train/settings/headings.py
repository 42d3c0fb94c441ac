"""The configs' own words: what the comments at the head of a file say, and what it chooses."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import configs

CONFIGS = Path(configs.__file__).parent


@cache
def heading(path: Path) -> str:
    """The comment at the head of a config, without the marks."""
    lines = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)


def first_sentence(path: Path) -> str:
    """The heading up to its first full stop or its first command."""
    text = " ".join(line for line in heading(path).splitlines() if not line.startswith("  "))
    return re.split(r"(?<!App)(?<!sec)(?<!et al)\.\s", text + " ")[0].strip().rstrip(".:")


def commands() -> list[str]:
    """The commands that have a config."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def options(group: str, extra: Path | None = None) -> list[str]:
    """The choices of a group, those below a folder of the user too."""
    folders = [folder / group for folder in (CONFIGS, extra) if folder]
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})


def places(config_name: str) -> dict[str, str | None]:
    """Where a command takes a choice, `pool` or `pool@bootstrap`, with the one it begins with.

    Hydra's own are left out.
    """
    found: dict[str, str | None] = {}
    path = CONFIGS / f"{config_name}.yaml"
    content: Any = yaml.safe_load(path.read_text()) if path.exists() else {}
    for entry in content.get("defaults", []):
        if isinstance(entry, dict):
            chosen = {key.removeprefix("override "): choice for key, choice in entry.items()}
            found |= {key: chosen[key] for key in chosen if not key.startswith("hydra/")}
        elif entry != "_self_":
            found |= places(entry)
    return found
