"""The jobs of a sweep that have begun no run: those that wait, and those that failed before."""

from collections.abc import Iterator
from pathlib import Path

from sam_train.launching.job import read_record
from sam_train.run_journal import JOURNAL


def unbegun_lines(folder: Path) -> Iterator[str]:
    """A line for each job at a folder or below it whose own folder holds no journal."""
    for path in sorted(folder.glob("**/job.json")):
        record = read_record(path.parent)
        if record and not (path.parent / JOURNAL).exists():
            because = f": {record.reason}" if record.reason else ""
            yield f"{record.state:8} {path.parent}, a job of a sweep{because}"
