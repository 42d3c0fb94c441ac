"""The option `--workers` of the commands that work on many shards."""

import os
from argparse import ArgumentTypeError
from typing import Any


def worker_count(text: str) -> int:
    """A number of processes: one or more."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text} processes do no work: give at least 1")
    return int(text)


WORKERS: dict[str, Any] = {
    "type": worker_count,
    "default": len(os.sched_getaffinity(0)),
    "help": "processes, each on a shard; all cores unless given",
}
