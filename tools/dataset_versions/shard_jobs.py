"""Work on many shards: in several processes, with a line of progress."""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from data_engine.executors.local import LocalExecutor

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_shards(
    work: Callable[[Item], Result], items: Sequence[Item], *, workers: int, verb: str
) -> list[Result]:
    """Does the work on every item and returns the results in their order.

    Progress goes to stderr. The first error ends all of it.
    """
    results: dict[int, Result] = {}
    started = shown = time.monotonic()
    for number, result in LocalExecutor(workers).run(
        partial(_numbered, work), list(enumerate(items))
    ):
        results[number] = result
        now = time.monotonic()
        if now - shown > 5 or len(results) == len(items):
            shown = now
            left = (now - started) / len(results) * (len(items) - len(results))
            print(f"{verb} {len(results)}/{len(items)} shards, {left:.0f} s left", file=sys.stderr)
    return [results[number] for number in range(len(items))]


def _numbered(work: Callable[[Item], Result], item: tuple[int, Item]) -> tuple[int, Result]:
    return item[0], work(item[1])
