"""What a person did, by their own account: to be held against what the server made of it."""

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Entry = dict[str, Any]
Place = tuple[str, str]  # the key of an image, and an object on it


class WorkLog:
    """Appends entries to a file, each at once, so that a killed process has noted all it did."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def __call__(self, entry: Entry) -> None:
        os.write(self._file, (json.dumps({"time": time.time()} | entry) + "\n").encode())


def read_log(path: Path) -> list[Entry]:
    """The entries in order; a last line that was cut off is left out."""
    lines = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines[:-1]]


def costs_by_log(entries: Iterable[Entry]) -> dict[str, int | float]:
    """The masks on saved images, and the clicks, strokes and seconds that they cost.

    Of an object that was deleted and drawn again, the seconds before count too.
    """
    prompts: dict[Place, list[str]] = defaultdict(list)
    seconds: dict[Place, float] = defaultdict(float)
    saved: dict[str, Entry] = {}
    for entry in entries:
        if entry["event"] == "saved":
            saved[entry["key"]] = entry
        elif entry["event"] == "accepted":
            place = entry["key"], str(entry["object"])
            seconds[place] += entry["seconds"]
            prompts[place] = [] if entry["kind"] == "delete" else [*prompts[place], entry["kind"]]
    kept = [(key, id) for key, entry in saved.items() for id in entry["masks"]]
    kinds = [kind for place in kept for kind in prompts[place]]
    return {
        "images": len(saved),
        "masks": len(kept),
        "clicks": kinds.count("point"),
        "strokes": kinds.count("brush"),
        "seconds": round(sum(seconds[place] for place in kept), 3),
    }


def summary(path: Path) -> str:
    """One line of figures."""
    costs = costs_by_log(read_log(path))
    return f"{path}: " + ", ".join(f"{value:,} {name}" for name, value in costs.items())
