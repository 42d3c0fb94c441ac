"""What an executor is: where the work on shards runs."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar, runtime_checkable

Item = TypeVar("Item")
Result = TypeVar("Result")


@runtime_checkable
class Executor(Protocol):
    """Runs work on items in several processes, here or elsewhere.

    An item whose worker dies or fails is done again, so the work must bear that: on an item that
    is finished it only returns the result. An error that would come again (`FINAL`: the user can
    mend it, or the code is wrong) ends the run.
    """

    def run(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yields the results as they come."""
        ...
