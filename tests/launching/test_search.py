"""A search whose trials are pruned, killed and shared by workers; its jobs take no time."""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from sam_train.launching.crew import Crew
from sam_train.launching.job import Job, read_record
from sam_train.launching.search import Goal, Search, claim_study, open_study
from sam_train.launching.space import overrides_of, split_space

SPACE = {"x": FloatDistribution(0.0, 1.0)}
MEASURE = "val/iou_at_1"
# Logs x at step 10, then waits for what comes of it, then at step 20.
TRAINING = """
import signal, sys, time
x, seconds, folder = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
with open(f"{folder}/metrics.csv", "w") as file:
    print("step,val/iou_at_1", file=file)
    print(f"10,{x}", file=file, flush=True)
    time.sleep(seconds if x < 0.5 else 0)
    print(f"20,{x}", file=file)
"""


def make_worker(folder: Path, *, trials: int, seconds: float, pruner: Any = None) -> Search:
    def make_job(params: Mapping[str, Any], job_folder: Path) -> Job:
        arguments = (str(params["x"]), str(seconds), str(job_folder))
        return Job(job_folder.name, job_folder, (sys.executable, "-c", TRAINING, *arguments))

    goal = Goal(MEASURE, "maximize", trials)
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = open_study(folder, goal, sampler=sampler, pruner=pruner)
    return Search(study, goal, folder=folder, space=SPACE, make_job=make_job)


def work(folder: Path, *, trials: int, seconds: float, pruner: Any = None) -> list[Any]:
    worker = make_worker(folder, trials=trials, seconds=seconds, pruner=pruner)
    worker.run(Crew(2, restarts=0, group="search"))
    return worker.study.get_trials()


def another_worker(folder: Path, *, trials: int, seconds: float) -> subprocess.Popen[bytes]:
    """One in a process of its own."""
    call = f"work(Path({str(folder)!r}), trials={trials}, seconds={seconds})"
    code = f"from pathlib import Path; import runpy; work = runpy.run_path({__file__!r})['work']"
    return subprocess.Popen([sys.executable, "-c", f"{code}; {call}"])


def test_poor_trials_are_ended_by_their_validation_values(tmp_path: Path) -> None:
    pruner = optuna.pruners.ThresholdPruner(lower=0.5)
    trials = work(tmp_path, trials=6, seconds=60, pruner=pruner)

    poor = [trial for trial in trials if trial.params["x"] < 0.5]
    assert 0 < len(poor) < len(trials) == 6
    assert all((trial.state == TrialState.PRUNED) == (trial in poor) for trial in trials)
    record = read_record(tmp_path / f"trial-{poor[0].number:04d}")
    assert record and record.state == "pruned" and record.reason
    assert "is poor" in record.reason


@pytest.mark.slow
def test_the_trials_of_a_killed_worker_are_gone_on_with(tmp_path: Path) -> None:
    killed = another_worker(tmp_path, trials=4, seconds=60)
    study = None
    while not (study and study.get_trials(states=(TrialState.RUNNING,))):
        assert killed.poll() is None
        time.sleep(0.1)
        if (tmp_path / "study.journal").exists():
            study = open_study(tmp_path, Goal(MEASURE, "maximize", 4), sampler=None, pruner=None)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    trials = work(tmp_path, trials=4, seconds=0)

    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    assert all(trial.value == trial.params["x"] for trial in trials)


@pytest.mark.slow
def test_workers_share_the_trials(tmp_path: Path) -> None:
    other = another_worker(tmp_path, trials=6, seconds=0)
    trials = work(tmp_path, trials=6, seconds=0)

    assert other.wait() == 0
    assert len(make_worker(tmp_path, trials=6, seconds=0).done()) == 6
    assert len({trial.number for trial in trials}) == 6


def test_a_search_whose_trials_all_fail_ends_with_what_they_said(tmp_path: Path) -> None:
    worker = make_worker(tmp_path, trials=6, seconds=0)
    worker.make_job = lambda params, folder: Job(
        folder.name, folder, (sys.executable, "-c", "exit('no dataset')")
    )
    with pytest.raises(ValueError, match=r"3 trials failed in a row.*\(no dataset;.*mend that"):
        worker.run(Crew(1, restarts=0, group="search"))


def test_a_folder_belongs_to_one_search(tmp_path: Path) -> None:
    work(tmp_path, trials=1, seconds=0)
    study = open_study(tmp_path, Goal(MEASURE, "maximize", 1), sampler=None, pruner=None)
    claim_study(study, tmp_path, SPACE, ["max_steps=5"])
    with pytest.raises(ValueError, match="holds a run with max_steps=5, this one has max_steps=9"):
        claim_study(study, tmp_path, SPACE, ["max_steps=9"])


def test_a_space_is_written_as_hydra_writes_sweeps() -> None:
    given = [
        *("seed=1", "a=tag(log, interval(1e-5, 1e-3))", "b=x,null", "c=range(1, 10, 3)"),
        *("d=int(interval(1, 8))", "e=0.1,0.2", "f=1,2", "f=3"),
    ]
    space, shared = split_space(OverridesParser.create().parse_overrides(given))

    assert space == {
        "a": FloatDistribution(1e-5, 1e-3, log=True),
        "b": CategoricalDistribution(["x", None]),
        "c": IntDistribution(1, 7, step=3),
        "d": IntDistribution(1, 8),
        "e": CategoricalDistribution([0.1, 0.2]),
    }
    assert shared == ["seed=1", "f=3"]
    assert overrides_of({"b": None, "c": 4}) == ["b=null", "c=4"]
    with pytest.raises(ValueError, match="nothing to search over"):
        split_space(OverridesParser.create().parse_overrides(["seed=1"]))
