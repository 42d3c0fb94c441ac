"""Ours beside a peer: CPU time, peak memory and a table."""

import ctypes
import json
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from sam_train.threads import set_threads

RUNS = 7
Work = Callable[[], Any]


@dataclass(frozen=True)
class Comparison:
    """The same work done by us and by a peer; `n` is how many things a run works on.

    `equal` says that the results were compared, and agree. Where a `target` is given, the peer
    should take that many times as long. Work in several processes needs a `clock` of its own.
    """

    name: str
    peer: str
    ours: Work
    theirs: Work
    equal: bool
    n: int
    target: float | None = None
    clock: Callable[[], float] = time.process_time

    @cached_property
    def times(self) -> tuple[float, float]:
        """Median seconds of ours and of the peer, run in turn; CPU time unless `clock` differs."""
        works = (self.ours, self.theirs)
        runs = [[seconds(work, self.clock) for work in works] for _ in range(RUNS)]
        ours, theirs = zip(*runs, strict=True)
        return median(ours), median(theirs)

    def row(self) -> str:
        """A line of the table, times in milliseconds for each of the `n` things."""
        ours, theirs = self.times
        ratio, target, verdict = theirs / ours, "", ""
        if self.target is not None:
            target, verdict = f"{self.target:g}x", "met" if ratio >= self.target else "not met"
        times = f"{ours / self.n * 1e3:9.3f} {theirs / self.n * 1e3:9.3f} {ratio:6.2f}x"
        equal = "yes" if self.equal else "NO"
        return f"{self.name:26} {times} {target:>6} {verdict:8} {equal:5}  {self.peer}"

    def json(self) -> str:
        ours, theirs = self.times
        return json.dumps(
            {
                "name": self.name,
                "ours_s": ours,
                "peer_s": theirs,
                "ratio": theirs / ours,
                "equal": self.equal,
                "peer": self.peer,
                "peak_mb_ours": peak_mb(self.ours),
                "peak_mb_peer": peak_mb(self.theirs),
                "threads": 1,
                "n": self.n,
            }
        )


def report(comparisons: Iterable[Comparison]) -> bool:
    """Prints a table and a JSON line for each row; whether all results are equal."""
    set_threads(1)
    comparisons = list(comparisons)
    print(f"{'':26} {'ours ms':>9} {'peer ms':>9} {'ratio':>7} {'target':>6} {'':8} equal  peer")
    for comparison in comparisons:
        print(comparison.row(), flush=True)
    for comparison in comparisons:
        print(comparison.json(), flush=True)
    return all(comparison.equal for comparison in comparisons)


def seconds(work: Work, clock: Callable[[], float]) -> float:
    start = clock()
    work()
    return clock() - start


def peak_mb(work: Work) -> float:
    """How far the memory of a forked process grows in one run."""
    ctypes.CDLL(None).malloc_trim(0)  # glibc: or the work would hide in memory that is free
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_growth, args=(sender, work))
    process.start()
    growth = receiver.recv()
    process.join()
    return growth


def _send_growth(sender: Any, work: Work) -> None:
    before = resident_kb("RssAnon")
    work()
    # A forked process maps the pages of libraries anew when it meets them: they are no growth.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident_kb("RssFile")
    sender.send(round((peak - before) / 1024, 1))


def resident_kb(kind: str) -> int:
    """So much of this process is in memory: RssAnon, its own, or RssFile, of files (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))
