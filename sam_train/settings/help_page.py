"""What `--help` prints: a line for each group of choices, from the headings of the configs."""

import re
import textwrap
from collections.abc import Sequence

from sam_train.settings.headings import CONFIGS, first_sentence, heading, options, places
from sam_train.settings.nearest import did_you_mean

WIDTH, LONGEST = 100, 110
ALSO = """\
--help GROUP      describes every choice of a group
--cfg job         prints the composed config instead of running (or: print_config=true)
--from RUN_DIR    goes on with a run, or repeats it with output_dir=NEW; values may be changed
--multirun        runs every combination of KEY=A,B
--config-dir DIR  takes choices from DIR/GROUP/NAME.yaml too; so does GROUP=PATH/GROUP/NAME.yaml"""


def help_page(config_name: str, *, groups: Sequence[str] = ()) -> str:
    """The page of a command, or the choices of some of its groups."""
    if groups:
        return "\n\n".join(group_page(group, config_name) for group in groups)
    path = CONFIGS / f"{config_name}.yaml"
    lines = [group_line(place, choice) for place, choice in places(config_name).items()]
    return "\n".join(
        [
            heading(path),
            "\nChoices, GROUP=NAME (the one it begins with; others):",
            *lines,
            "\nValues, KEY=VALUE, at any depth (optim.lr=1.0e-4):",
            *value_lines(path.read_text()),
            f"\n{ALSO}",
        ]
    )


def group_line(place: str, choice: str | None) -> str:
    """A group, its choice, what that is, and the others."""
    group = place.partition("@")[0]
    others = [option for option in options(group) if option != choice]
    what = f" {first_sentence(CONFIGS / group / f'{choice}.yaml')}" if choice else ""
    begin = f"{place}={choice or 'null'}{what and ':'}{what}"
    begin = textwrap.shorten(begin, WIDTH * 2 // 3, placeholder="...")
    line = f"{begin}; {', '.join(others)}" if others else begin
    return "  " + textwrap.shorten(line, LONGEST - 2, placeholder=f" ... (--help {group})")


def group_page(group: str, config_name: str) -> str:
    """Every choice of a group with its heading's first sentence."""
    found = options(group)
    if not found:
        known = {place.partition("@")[0] for place in places(config_name)}
        raise ValueError(f"there is no group {group}: {did_you_mean(group, known)}")
    width = max(map(len, found))
    lines = []
    for option in found:
        text = first_sentence(CONFIGS / group / f"{option}.yaml")
        indent = " " * (len(group) + width + 5)
        lines += textwrap.wrap(f"  {group}={option.ljust(width)}  {text}", WIDTH,
                               subsequent_indent=indent)  # fmt: skip
    return "\n".join(lines)


def value_lines(text: str) -> list[str]:
    """The scalar keys of a command's config with their comments."""
    found = re.findall(r"^(\w+): (?!\{)(\S+)(?:  # (.*))?$", text, re.MULTILINE)
    lines = [f"  {f'{key}={value}'.ljust(30)} {comment}".rstrip() for key, value, comment in found]
    return [line if len(line) < LONGEST else f"{line[: LONGEST - 3]}..." for line in lines]
