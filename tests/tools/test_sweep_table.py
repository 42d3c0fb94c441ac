from pathlib import Path

import pytest

from tools.sweep_table import MEASURES, SPEED, draw_curves, read_runs, table

HEADER = ",".join(["step", SPEED, *MEASURES])


def write_run(folder: Path, name: str, seed: int, *rows: str) -> None:
    folder.mkdir()
    (folder / "config.yaml").write_text(f"run_name: {name}\nseed: {seed}\n")
    (folder / "metrics.csv").write_text("\n".join([HEADER, *rows, ""]))
    (folder / "model.safetensors").touch()


def test_a_table_has_a_row_for_each_run_with_the_means_of_its_seeds(tmp_path: Path) -> None:
    write_run(tmp_path / "a-0", "a", 0, "9,4,,,,", "49,,.1,.2,.3,.4", "99,,.2,.3,.4,.5")
    write_run(tmp_path / "a-1", "a", 1, "9,2,,,,", "99,,.4,.3,.4,.5")
    write_run(tmp_path / "b-0", "b", 0, "9,8,,,,", "99,,.7,.8,.9,1")
    lines = table(read_runs(tmp_path)).splitlines()
    assert lines[2].startswith("| a | 2 | 0.300 ± 0.100 | 0.300 ± 0.000 |")
    assert lines[2].endswith("| 3 |")
    assert lines[3] == "| b | 1 | 0.700 | 0.800 | 0.900 | 1.000 | 8 |"


def test_the_metrics_of_an_interrupted_run_are_put_together(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "a", 0, "99,4,.3,.3,.3,.3")
    first = "\n".join([HEADER, "49,4,.1,.1,.1,.1", "69,4,.2,.2,.2,.2", ""])
    (tmp_path / "a" / "metrics-0.csv").write_text(first)
    (run,) = read_runs(tmp_path)["a"]
    assert [step for step, _ in run.logged["val/iou_at_1"]] == [49, 69, 99]


def test_curves_are_drawn(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "a", 0, "49,4,.1,.1,.1,.1", "99,4,.3,.3,.3,.3")
    draw_curves(read_runs(tmp_path), tmp_path / "curves.svg")
    assert "<svg" in (tmp_path / "curves.svg").read_text()


def test_what_is_no_sweep_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no folder of a finished run"):
        read_runs(tmp_path)
    write_run(tmp_path / "a", "a", 0, "9,4,,,,")
    with pytest.raises(ValueError, match="has no val/iou_at_1 in its metrics: train with"):
        read_runs(tmp_path)
