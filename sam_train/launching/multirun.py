"""The jobs of a Hydra multirun: each the same entry point, as a single run in its own folder."""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from sam_train.launching.job import Job, JobRecord, is_finished
from sam_train.settings.missing import check_missing


def jobs_of(config: DictConfig, loader: Any, overrides: Sequence[Sequence[str]]) -> list[Job]:
    """One job for each list of overrides; `loader` is Hydra's, which composes their configs.

    A value that is not given is told here, before all jobs fail for lack of it.
    """
    first = loader.load_sweep_config(config, list(overrides[0]))
    check_missing(OmegaConf.masked_copy(first, [key for key in first if key != "hydra"]))
    folders = [folder_of(config, loader, overrides, number) for number in range(len(overrides))]
    clashes = [str(path) for path, count in Counter(folders).items() if count > 1]
    if clashes:
        raise ValueError(
            f"{Counter(folders)[Path(clashes[0])]} jobs of this sweep have the folder "
            f"{clashes[0]}: leave hydra.sweep.subdir out, or name in it all that differs"
        )
    return [
        Job(folder.name, folder, command_of(config, each, folder))
        for folder, each in zip(folders, overrides, strict=True)
    ]


def folder_of(
    config: DictConfig, loader: Any, overrides: Sequence[Sequence[str]], number: int
) -> Path:
    """Named after what differs from job to job, unless the config has a name for it."""
    sweep = Path(config.hydra.sweep.dir)
    given: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    if given["subdir"] == "${hydra.job.num}":  # Hydra's own; a value more would change them
        return sweep / name_of(overrides[number], differing_keys(overrides))
    composed = loader.load_sweep_config(config, list(overrides[number]))
    with open_dict(composed):
        composed.hydra.job.num = number
    return sweep / composed.hydra.sweep.subdir


def differing_keys(overrides: Sequence[Sequence[str]]) -> set[str]:
    values: dict[str, set[str]] = {}
    for override in (each for job in overrides for each in job):
        key, _, value = override.partition("=")
        values.setdefault(key, set()).add(value)
    return {key for key, found in values.items() if len(found) > 1}


def name_of(overrides: Iterable[str], keys: set[str]) -> str:
    """`optim.lr=0.001,seed=0`, fit for a folder."""
    named = [each for each in overrides if each.partition("=")[0] in keys]
    return re.sub(r"[^\w.,=+-]+", "_", ",".join(named)) or "job"


def command_of(config: DictConfig, overrides: Sequence[str], folder: Path) -> tuple[str, ...]:
    """The command that a user would give for this job alone."""
    sources = config.hydra.runtime.config_sources
    added = [source.path for source in sources if source.provider == "command-line"]
    given = [*OmegaConf.to_container(config.hydra.overrides.hydra), *overrides]
    return (
        *entry_point(),
        *(f"--config-dir={path}" for path in added),
        f"--config-name={config.hydra.job.config_name}",
        *(each for each in given if each.partition("=")[0] not in ("hydra.mode", "output_dir")),
        f"output_dir={quoted(str(folder))}",
        "hydra.mode=RUN",
    )


def entry_point() -> tuple[str, ...]:
    """How this process was started: `python -m MODULE`, or a console script."""
    spec = sys.modules["__main__"].__spec__
    return (sys.executable, sys.argv[0]) if spec is None else (sys.executable, "-m", spec.name)


def quoted(value: str) -> str:
    """A value that Hydra's grammar takes as it is."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def split_finished(jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """Those that are finished, which are not run again, and the others."""
    finished = [job for job in jobs if is_finished(job)]
    return finished, [job for job in jobs if job not in finished]


def tell(job: Job, record: JobRecord, number: int, count: int) -> None:
    because = f": {record.reason}" if record.reason else ""
    text = f"[{number}/{count}] {job.name} {record.state} after {record.seconds:.0f} s{because}"
    print(text, flush=True)  # also where it goes to a file


def require_all(records: Sequence[tuple[Job, JobRecord]]) -> None:
    """Raises a ValueError that names the jobs which did not come to their end."""
    missing = [(job, each) for job, each in records if each.state not in ("finished", "pruned")]
    if missing:
        job, record = missing[0]
        raise ValueError(
            f"{len(missing)} of {len(records)} jobs did not finish, first {job.name} "
            f"({record.reason}; {job.folder / 'output.log'}): mend what they say and give the same "
            "command again, which runs these alone"
        )
