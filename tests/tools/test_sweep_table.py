import csv
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from sam_train.launching.job import JobRecord, write_record
from tools.sweep_table import write_table
from tools.sweeps.groups import group_runs, half_width
from tools.sweeps.pictures import scaled
from tools.sweeps.runs import MEASURES, SPEED, as_value, read_runs

HEADER = ",".join(["step", SPEED, *MEASURES])
FIRST = MEASURES[0]


def write_run(
    folder: Path, *rows: str, name: str = "train", seed: int = 0, **overrides: object
) -> Path:
    (folder / ".hydra").mkdir(parents=True)
    (folder / "config.yaml").write_text(f"run_name: {name}\nseed: {seed}\n")
    given = [f"{key.replace('__', '.')}={value}" for key, value in overrides.items()]
    OmegaConf.save(OmegaConf.create([*given, f"seed={seed}"]), folder / ".hydra/overrides.yaml")
    (folder / "metrics.csv").write_text("\n".join([HEADER, *rows, ""]))
    (folder / "model.safetensors").touch()
    return folder


def write_sweep(folder: Path) -> None:
    """Two learning rates with two seeds each, the second one better."""
    common = {"experiment": "finetune_low_lr", "dataset": "data"}
    for seed, low, high in ((0, ".2", ".6"), (1, ".4", ".7")):
        rows = ("9,4,,,,", f"99,,{low},.3,.4,.5")
        write_run(folder / f"a-{seed}", *rows, seed=seed, optim__lr="1.0e-4", **common)
        rows = ("9,2,,,,", f"99,,{high},.3,.4,.5")
        write_run(folder / f"b-{seed}", *rows, seed=seed, optim__lr="2.0e-4", **common)


def test_seeds_of_one_configuration_are_a_row_with_a_mean_and_an_interval(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    groups = group_runs(read_runs(tmp_path, FIRST))
    assert [group.label for group in groups] == ["lr=0.0001", "lr=0.0002"]
    assert [group.mean(FIRST) for group in groups] == pytest.approx([0.3, 0.65])
    # Pooled: (0.02 + 0.005) / 2 degrees of freedom, Student's t at 97.5 % is 4.303.
    expected = 4.303 * (0.0125 / 2) ** 0.5
    assert half_width(groups, FIRST)["lr=0.0001"] == pytest.approx(expected, rel=1e-3)


def test_rows_have_the_names_of_their_runs_where_these_differ(tmp_path: Path) -> None:
    for name in ("as_is", "one_round"):
        write_run(tmp_path / name, "99,4,.1,.1,.1,.1", name=name, ablation=name)
    groups = group_runs(read_runs(tmp_path, FIRST))
    assert [group.label for group in groups] == ["as_is", "one_round"]
    assert half_width(groups, FIRST) == {}  # one seed tells nothing of its spread


def test_the_metrics_of_an_interrupted_run_are_put_together(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", "99,4,.3,.3,.3,.3")
    first = "\n".join([HEADER, "49,4,.1,.1,.1,.1", "69,4,.2,.2,.2,.2", ""])
    (folder / "metrics-0.csv").write_text(first)
    (run,) = read_runs(tmp_path, FIRST)
    assert [step for step, _ in run.logged[FIRST]] == [49, 69, 99]


def test_runs_that_are_not_finished_are_listed_with_the_reason(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    for state, reason in (("failed", "killed by SIGKILL"), ("waiting", None)):
        write_record(tmp_path / state, JobRecord(["train", "optim.lr=3.0e-4"], state, reason))
    write_run(tmp_path / "blind", "9,4,,,,")
    write_table(tmp_path, FIRST)

    table = (tmp_path / "table.md").read_text()
    assert "- failed: failed, killed by SIGKILL" in table
    assert "- waiting: waiting, its turn has not come" in table
    assert f"- blind: not measured, no {FIRST} in its metrics: train with" in table
    lines = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert [line["state"] for line in lines[2:]] == ["not measured", "failed", "waiting"]
    assert "killed by SIGKILL" in (tmp_path / "table.html").read_text()


def test_the_best_row_is_an_experiment_that_composes(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    write_table(tmp_path, FIRST)
    assert "lr: 0.0002" in (tmp_path / "experiment" / "best.yaml").read_text()

    command = [sys.executable, "-m", "sam_train.train", f"--config-dir={tmp_path}"]
    shown = subprocess.run(
        [*command, "experiment=best", "--cfg=job"], capture_output=True, text=True, check=True
    )
    config = OmegaConf.create(shown.stdout)
    assert config.optim.lr == 2e-4
    assert config.optim.encoder_lr_scale == 0.1  # of the experiment that the sweep was over
    write_table(tmp_path, FIRST, lowest=True)
    assert "lr: 0.0001" in (tmp_path / "experiment" / "best.yaml").read_text()


def test_values_over_decades_are_drawn_on_a_logarithmic_axis() -> None:
    heights, marks = scaled([1e-4, 1e-3, 1e-2])
    assert heights.tolist() == pytest.approx([0, 0.5, 1])
    assert marks["0.001"] == pytest.approx(0.5)
    assert scaled([True, False])[0].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("False", False),
        ("null", None),
        ("1e-4", 1e-4),
        ("8", 8),
        ("[1,2]", [1, 2]),
        ("tiny", "tiny"),
    ],
)
def test_a_value_is_read_as_hydra_reads_it(text: str, value: object) -> None:
    assert as_value(text) == value


def test_what_is_no_sweep_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no folder of a finished run: give"):
        read_runs(tmp_path, FIRST)
    write_run(tmp_path / "a", "9,4,,,,")
    with pytest.raises(FileNotFoundError, match=r"\(a is not measured: no val/iou_at_1 in its"):
        read_runs(tmp_path, FIRST)


def test_a_run_that_ended_in_nan_is_not_the_best(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    write_run(tmp_path / "a-nan", "99,,nan,.3,.4,.5", optim__lr="9.0e-4")
    write_table(tmp_path, FIRST)

    table = (tmp_path / "table.md").read_text()
    assert f"- a-nan: not finite, its last {FIRST} is nan" in table
    assert "(b-0, b-1)" in (tmp_path / "experiment" / "best.yaml").read_text()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.yaml", "seed: [1"),
        ("config.yaml", "- a list"),
        ("config.yaml", "seed: null"),
        (".hydra/overrides.yaml", "- 1"),
        ("metrics.csv", f"{HEADER}\n99,4,half,.1,.1,.1\n"),
    ],
)
def test_a_run_whose_files_are_damaged_does_not_keep_the_others_from_their_table(
    tmp_path: Path, file: str, content: str
) -> None:
    write_sweep(tmp_path)
    (tmp_path / "a-0" / file).write_text(content)
    write_table(tmp_path, FIRST)

    assert (
        "- a-0: damaged, one of its files cannot be read: " in (tmp_path / "table.md").read_text()
    )


def test_a_line_of_metrics_in_which_the_run_was_killed_does_not_count(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", "49,4,.3,.3,.3,.3")
    with (folder / "metrics.csv").open("a") as file:
        file.write("99,4,0.")
    (run,) = read_runs(tmp_path, FIRST)
    assert run.logged[FIRST] == [(49, 0.3)]
