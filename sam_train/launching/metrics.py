"""What a run has logged so far, from the CSV files in its folder."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

Series = Mapping[str, Sequence[tuple[int, float]]]  # (step, value) pairs by name


def read_metrics(folder: Path, names: Iterable[str]) -> Series:
    """The series of some measures; those of an interrupted run lie in several files."""
    logged: dict[str, dict[int, float]] = defaultdict(dict)
    names = tuple(names)
    for file in metrics_files(folder):
        with file.open() as opened:
            whole = (line for line in opened if line.endswith("\n"))  # its writer may have died
            for row in csv.DictReader(whole):
                for name in names:
                    if row.get(name) and row.get("step"):
                        logged[name][int(row["step"])] = float(row[name])
    return {name: sorted(values.items()) for name, values in logged.items()}


def metrics_files(folder: Path) -> list[Path]:
    """Those of earlier attempts in their order, then that of the last one."""
    earlier = folder.glob("metrics-*.csv")
    files = [
        *sorted(earlier, key=lambda file: int(file.stem.split("-")[1])),
        folder / "metrics.csv",
    ]
    return [file for file in files if file.exists()]
