"""The commands of slurm/README.md compose: their groups and keys exist in the entry points."""

import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

ROOT = Path(__file__).parents[2]
ENTRIES = {"train": "train", "sweep": "train", "evaluate": "evaluate", "phase": "engine"}


def commands() -> list[tuple[str, list[str]]]:
    """The config of the entry point that each command calls, and what it gets, also by SAM_*."""
    text = (ROOT / "slurm" / "README.md").read_text().replace("\\\n", " ")
    found = []
    for line in re.findall(r"^    (.*(?:\.sbatch|sam_train\.train).*)$", text, re.MULTILINE):
        entry = re.search(r"slurm/(\w+)\.sbatch|sam_train\.(train)", line)
        assert entry
        overrides = [word for word in shlex.split(line) if "=" in word and word[0] != "-"]
        is_example = line.endswith("...")
        if not is_example:
            found.append((ENTRIES[entry[1] or entry[2]], overrides))
    return found


@pytest.mark.parametrize(("entry", "overrides"), commands())
def test_the_arguments_of_the_readme_compose(entry: str, overrides: list[str]) -> None:
    single = [re.sub(r"=([^=,]+),.*", r"=\1", each) for each in overrides]
    variables = [each.partition("=")[0] for each in single if each.startswith("SAM_")]
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        config = compose(entry, [each for each in single if not each.startswith("SAM_")])
    read = OmegaConf.to_yaml(config)
    assert all(f"oc.env:{name}" in read for name in variables)


def test_the_readme_names_every_file_that_is_there() -> None:
    text = (ROOT / "slurm" / "README.md").read_text()
    for path in (ROOT / "slurm").glob("*.sbatch"):
        assert f"slurm/{path.name}" in text
        assert path.read_text().startswith("#!/bin/bash\n# ")
