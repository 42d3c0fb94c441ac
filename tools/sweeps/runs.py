"""The runs of a sweep as they lie on disk: what each was asked for, logged, and how it ended."""

import csv
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sam_train.launching.job import read_record
from sam_train.launching.metrics import Series, read_metrics
from sam_train.run_folder import is_locked

MEASURES = ("val/iou_at_1", "val/iou_at_3", "val/iou_at_5", "val/iou_with_box")
SPEED = "speed/images_per_s"
UNREADABLE = (
    ValueError,
    TypeError,
    AttributeError,
    csv.Error,
    yaml.YAMLError,
    OmegaConfBaseException,
)
# Arguments that say where a run works, not what it is.
PLACES = ("output_dir", "launcher", "threads", "hydra")


@dataclass(frozen=True)
class Run:
    """A folder of a sweep. `state` is finished, or what came before that; `reason` says why."""

    folder: Path
    name: str
    seed: int
    state: str
    reason: str | None = None
    logged: Series = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)

    def last(self, measure: str) -> float:
        return self.logged[measure][-1][1]

    def speed(self) -> float | None:
        """Median images a second."""
        values = [value for _, value in self.logged.get(SPEED, ())]
        return median(values) if values else None


def read_runs(folder: Path, measure: str) -> list[Run]:
    """All runs of a sweep; raises a ValueError where none can be compared by the measure."""
    folders = sorted(path for path in folder.glob("*") if is_run(path))
    runs = [read_run(path, measure) for path in folders]
    if not any(run.state == "finished" for run in runs):
        why = [f" ({run.folder.name} is {run.state}: {run.reason})" for run in runs[:1]]
        raise FileNotFoundError(
            f"{folder} holds no folder of a finished run{''.join(why)}: give the folder of a "
            "sweep, or give the sweep's command again to finish it"
        )
    return runs


def is_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("job.json", "config.yaml"))


def read_run(folder: Path, measure: str) -> Run:
    """A run as far as its files can be read."""
    try:
        return whole_run(folder, measure)
    except UNREADABLE as error:
        reason = str(error).partition("\n")[0]
        return Run(folder, folder.name, 0, "damaged", f"one of its files cannot be read: {reason}")


def whole_run(folder: Path, measure: str) -> Run:
    config: Any = {}
    if (folder / "config.yaml").exists():
        config = OmegaConf.load(folder / "config.yaml")
    overrides = read_overrides(folder)
    logged = read_metrics(folder, (*MEASURES, measure, SPEED))
    state, reason = state_of(folder)
    if state == "finished" and measure not in logged:
        state, reason = (
            "not measured",
            f"no {measure} in its metrics: train with callbacks=validated, for more steps than "
            "callbacks.validation.every_n_steps",
        )
    if state == "finished" and not isfinite(logged[measure][-1][1]):
        state, reason = "not finite", f"its last {measure} is {logged[measure][-1][1]}"
    seed = int(config.get("seed", overrides.get("seed", 0)))
    return Run(folder, config.get("run_name", folder.name), seed, state, reason, logged, overrides)


def state_of(folder: Path) -> tuple[str, str | None]:
    """How far a run is, and why it is not finished."""
    record = read_record(folder)
    if record is not None and record.state == "pruned":
        return "pruned", record.reason
    if (folder / "model.safetensors").exists():
        return "finished", None
    if is_locked(folder):
        return "running", "a process is working in its folder"
    if record is None or record.state in ("running", "finished"):
        return "interrupted", "its process is gone; the sweep's command goes on with it"
    return record.state, record.reason or "its turn has not come"


def read_overrides(folder: Path) -> dict[str, str]:
    """The arguments of a run by their keys, without those that only name a place."""
    path = folder / ".hydra" / "overrides.yaml"
    if path.exists():
        given: Sequence[str] = list(OmegaConf.load(path))
    else:
        record = read_record(folder)
        given = [] if record is None else [each for each in record.command if is_override(each)]
    pairs = (each.partition("=") for each in given)
    return {key: value for key, _, value in pairs if key.split(".")[0] not in PLACES}


def is_override(argument: str) -> bool:
    return "=" in argument and not argument.startswith("-")


def differing(runs: Sequence[Run]) -> list[str]:
    """The keys whose values are not the same in all runs, the seed aside; in their order."""
    keys = list(dict.fromkeys(key for run in runs for key in run.overrides))
    values = {key: {run.overrides.get(key) for run in runs} for key in keys}
    return [key for key in keys if key != "seed" and len(values[key]) > 1]


def as_value(text: str | None) -> Any:
    """An argument's value as Hydra reads it: numbers, true and False, null, lists, words."""
    value: Any = text
    with suppress(ValueError, yaml.YAMLError):
        value = None if text is None else yaml.safe_load(text)
        return float(value) if isinstance(value, str) else value  # 1e-4 is a word to YAML
    return value
