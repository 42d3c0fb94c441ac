"""A clock for leases that goes on evenly when somebody sets the machine's."""

import time
from collections.abc import Callable


def steady_clock() -> Callable[[], float]:
    """Seconds since the epoch as they were at the start, and from then on those that passed."""
    start = time.time() - time.monotonic()
    return lambda: start + time.monotonic()
