"""The space of a search, written as Hydra's sweeps are: lists, choice, range, interval."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    QuotedString,
    RangeSweep,
)
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)


def split_space(
    overrides: Sequence[Override],
) -> tuple[dict[str, BaseDistribution], list[str]]:
    """What is searched over, by key, and the overrides that all trials share.

    `tag(log, interval(1e-5, 1e-3))` is searched on a logarithmic scale; a range and
    `int(interval(1, 8))` give integers.
    """
    space: dict[str, BaseDistribution] = {}
    shared: dict[str, str] = {}
    for override in overrides:
        key = override.get_key_element()
        if override.is_sweep_override():
            space[key] = distribution_of(key, override.value())
            shared.pop(key, None)
        else:
            shared[key] = f"{key}={override.get_value_element_as_str()}"
            space.pop(key, None)
    if not space:
        raise ValueError(
            "the search has nothing to search over: name keys in hydra.sweeper.params, "
            'optim.lr: "tag(log, interval(1.0e-5, 1.0e-3))"'
        )
    return space, list(shared.values())


def distribution_of(key: str, sweep: Any) -> BaseDistribution:
    is_log = "log" in sweep.tags
    if isinstance(sweep, ChoiceSweep):
        return CategoricalDistribution([plain(value) for value in sweep.list])
    if isinstance(sweep, RangeSweep) and float(sweep.step).is_integer():
        start, stop, step = int(sweep.start), int(sweep.stop), int(sweep.step)
        last = start + (stop - 1 - start) // step * step
        return IntDistribution(start, last, step=step, log=is_log)
    if isinstance(sweep, IntervalSweep):
        low, high = sweep.start, sweep.end
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=is_log)
        return FloatDistribution(float(low), float(high), log=is_log)
    raise ValueError(f"{key} cannot be searched over so: give a list, a range or an interval")


def plain(value: Any) -> Any:
    """An element of a list as Optuna keeps it: a number, a word, or its text."""
    if isinstance(value, QuotedString):
        return value.text
    return value if isinstance(value, None | bool | int | float | str) else str(value)


def overrides_of(params: Mapping[str, Any]) -> list[str]:
    """The overrides of one trial."""
    return [f"{key}={'null' if value is None else value}" for key, value in params.items()]


def first_values(space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """The first value of each key, to see that the config takes them."""
    return {key: first_of(each) for key, each in space.items()}


def first_of(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return distribution.low
