"""A check of a machine: what was found, and whether a long run can begin with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """`failed` ends a run sooner or later; a `warning` only slows it down."""

    state: Literal["ok", "warning", "failed"]
    said: str


def run_checks(checks: Mapping[str, Callable[[], Check]]) -> list[Check]:
    """Makes one after the other and prints its line; one that raises has failed."""
    found = []
    for name, check in checks.items():
        try:
            result = check()
        except (ValueError, OSError, RuntimeError) as error:
            result = Check("failed", (str(error).splitlines() or [type(error).__name__])[0])
        print(f"{result.state:8}  {name:9} {result.said}", flush=True)
        found.append(result)
    return found
