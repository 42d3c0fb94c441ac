"""Runs that differ in their seed alone are a row: a mean, and how sure it is."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean
from typing import Any

from tools.sweeps.runs import Run, as_value, differing


@dataclass(frozen=True)
class Group:
    """A row of the table: its label, the values in which it differs, and its finished seeds."""

    label: str
    values: Mapping[str, Any]
    runs: Sequence[Run]

    def mean(self, measure: str) -> float | None:
        """None where no run logged the measure."""
        found = [run.last(measure) for run in self.runs if measure in run.logged]
        return mean(found) if found else None

    def speed(self) -> float | None:
        speeds = [speed for run in self.runs if (speed := run.speed()) is not None]
        return mean(speeds) if speeds else None


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """The finished runs by what they were asked for; rows have the names of runs that have some."""
    keys = differing(runs)
    by_values: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for run in runs:
        if run.state == "finished":
            values = (str(run.overrides.get(key)) for key in keys)
            by_values[(run.name, *values)].append(run)
    names = [name for name, *_ in by_values]
    are_named = len(set(names)) == len(names)
    groups = []
    for (name, *_), members in by_values.items():
        values = {key: as_value(members[0].overrides.get(key)) for key in keys}
        parts = [f"{key.rpartition('.')[2]}={short(value)}" for key, value in values.items()]
        groups.append(Group(name if are_named else ", ".join(parts) or name, values, members))
    return groups


def short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def half_width(groups: Sequence[Group], measure: str) -> dict[str, float]:
    """Half of each row's 95 % interval, by its label; none where no row has two seeds.

    The spread of seeds is taken from all rows together (a pooled variance), for two or three
    seeds of one row tell little of it.
    """
    from scipy.stats import t

    values = {
        group.label: [run.last(measure) for run in group.runs if measure in run.logged]
        for group in groups
    }
    freedom = sum(max(0, len(each) - 1) for each in values.values())
    if freedom == 0:
        return {}
    squares = sum((value - mean(each)) ** 2 for each in values.values() for value in each)
    spread = sqrt(squares / freedom)
    factor = float(t.ppf(0.975, freedom))
    return {label: factor * spread / sqrt(len(each)) for label, each in values.items() if each}


def best_group(groups: Sequence[Group], measure: str, *, lowest: bool) -> Group:
    """The row with the best mean."""
    known = [group for group in groups if group.mean(measure) is not None]
    return sorted(known, key=lambda group: group.mean(measure) or 0.0, reverse=not lowest)[0]
