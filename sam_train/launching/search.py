"""A search over configs by Optuna: its trials are jobs, its study is a file that workers share."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from hydra.core.override_parser.types import Override
from hydra.utils import instantiate
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState

from sam_train.launching.crew import Crew, ended_by_signals, run_jobs
from sam_train.launching.job import Job, JobRecord
from sam_train.launching.metrics import metrics_files, read_metrics
from sam_train.launching.multirun import command_of, tell
from sam_train.launching.space import first_values, overrides_of, split_space
from sam_train.run_folder import is_locked, locked, require_same

MAX_FAILURES = 3  # of trials in a row
STUDY = "study.journal"
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Goal:
    """What is searched for: the best last value of a measure, in so many trials."""

    measure: str
    direction: Literal["minimize", "maximize"]
    trials: int


def search(
    overrides: Sequence[Override],
    goal: Goal,
    parts: Mapping[str, Any],
    *,
    config: DictConfig,
    loader: Any,
) -> None:
    """One worker of the search in the folder of the sweep, until all its trials are done."""
    space, shared = split_space(overrides)
    shared = [each for each in shared if not each.startswith("output_dir=")]
    loader.load_sweep_config(config, [*shared, *overrides_of(first_values(space))])  # is it legal?
    if "jobs" not in config.hydra.launcher:
        raise ValueError(
            "a search starts its trials where it runs: leave launcher=slurm out, and submit "
            "slurm/sweep.sbatch, as an array to have several workers"
        )
    folder = Path(config.hydra.sweep.dir)
    sampler, pruner = (instantiate(parts[name]) for name in ("sampler", "pruner"))
    study = open_study(folder, goal, sampler=sampler, pruner=pruner)
    claim_study(study, folder, space, shared)

    def make_job(params: Mapping[str, Any], job_folder: Path) -> Job:
        command = command_of(config, [*shared, *overrides_of(params)], job_folder)
        return Job(job_folder.name, job_folder, command)

    worker = Search(study, goal, folder=folder, space=space, make_job=make_job)
    launcher = config.hydra.launcher
    worker.run(Crew(launcher.jobs, restarts=launcher.restarts, group=folder.name))
    if study.get_trials(states=(TrialState.COMPLETE,)):
        best = study.best_trial
        print(f"best: {goal.measure} {best.value:.3f} in trial {best.number} with {best.params}")


def open_study(
    folder: Path, goal: Goal, *, sampler: BaseSampler | None, pruner: BasePruner | None
) -> optuna.Study:
    """The study in a folder; a new one where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / STUDY))),
        study_name="study",
        direction=goal.direction,
        load_if_exists=True,
        sampler=sampler,
        pruner=pruner or NopPruner(),  # Optuna's own default prunes
    )


class Search:
    """One worker of a search. What it was at when it was killed, the next one goes on with."""

    def __init__(
        self,
        study: optuna.Study,
        goal: Goal,
        *,
        folder: Path,
        space: Mapping[str, BaseDistribution],
        make_job: Callable[[Mapping[str, Any], Path], Job],
    ) -> None:
        self.study = study
        self.goal = goal
        self.folder = folder
        self.space = dict(space)
        self.make_job = make_job  # of the values and the folder of a trial
        self._trials: dict[str, Trial] = {}  # that this worker is at, by the names of their jobs
        self._seen: dict[str, float] = {}  # when the metrics of a job were last read
        self._held = ExitStack()  # the locks of those trials
        self._failures = 0

    def run(self, crew: Crew) -> None:
        """Works until the study has its trials; raises a ValueError where they fail in a row."""
        with self._held, ended_by_signals():
            for job, record in run_jobs(self.jobs(), crew, prune=self.reason_to_prune):
                self.close(job, record)
                tell(job, record, len(self.done()), self.goal.trials)

    def done(self) -> list[optuna.trial.FrozenTrial]:
        return self.study.get_trials(states=ENDED)

    def jobs(self) -> Iterator[Job]:
        while trial := self.next_trial():
            folder = self.trial_folder(trial.number)
            job = self.make_job(trial.params, folder)
            self._trials[job.name] = trial
            yield job

    def next_trial(self) -> Trial | None:
        """One that lost its worker, else a new one, else None."""
        with locked(self.folder, patience_s=60.0):  # workers ask one after the other
            running = self.study.get_trials(states=(TrialState.RUNNING,))
            for frozen in running:
                if not is_locked(self.trial_folder(frozen.number) / "worker"):
                    return self.take(frozen._trial_id)
            if len(self.done()) + len(running) >= self.goal.trials:
                return None
            return self.take(self.study.ask()._trial_id)

    def take(self, trial_id: int) -> Trial:
        """Holds a trial for as long as this process lives; it may have no values yet."""
        trial = Trial(self.study, trial_id)
        self._held.enter_context(locked(self.trial_folder(trial.number) / "worker"))
        for key, distribution in self.space.items():
            trial._suggest(key, distribution)
        return trial

    def trial_folder(self, number: int) -> Path:
        return self.folder / f"trial-{number:04d}"

    def reason_to_prune(self, job: Job) -> str | None:
        """Reports new validation values of a job; the reason to end it, if they are poor."""
        trial = self._trials[job.name]
        changed = max((file.stat().st_mtime for file in metrics_files(job.folder)), default=0.0)
        if changed <= self._seen.get(job.name, 0.0):
            return None
        self._seen[job.name] = changed
        told = self.study._storage.get_trial(trial._trial_id).intermediate_values
        for step, value in read_metrics(job.folder, [self.goal.measure]).get(self.goal.measure, ()):
            if step not in told:
                trial.report(value, step)
        if not trial.should_prune():
            return None
        return f"{self.goal.measure} is poor among the trials"

    def close(self, job: Job, record: JobRecord) -> None:
        """Tells the study how a trial ended."""
        trial = self._trials.pop(job.name)
        if record.state == "pruned":
            self.study.tell(trial, state=TrialState.PRUNED)
        elif record.state == "finished":
            self.study.tell(trial, self.value_of(job))
        else:
            self.study.tell(trial, state=TrialState.FAIL)
            self._failures += 1
            if self._failures >= MAX_FAILURES:
                raise ValueError(
                    f"{self._failures} trials failed in a row, last {job.name} ({record.reason}; "
                    f"{job.folder / 'output.log'}): mend that and give the command again"
                )
            return
        self._failures = 0

    def value_of(self, job: Job) -> float:
        series = read_metrics(job.folder, [self.goal.measure]).get(self.goal.measure)
        if not series:
            raise ValueError(
                f"{job.folder} has no {self.goal.measure} in its metrics: train with "
                "callbacks=validated, for more steps than callbacks.validation.every_n_steps"
            )
        return series[-1][1]


def claim_study(
    study: optuna.Study, folder: Path, space: Mapping[str, BaseDistribution], shared: Sequence[str]
) -> None:
    """Raises a ValueError where the folder holds finished trials of another search."""
    now: dict[str, Any] = {"searched": {key: str(each) for key, each in space.items()}}
    now |= dict(each.split("=", 1) for each in shared)
    before = study.user_attrs.get("search")
    if before is not None and study.get_trials(states=ENDED):
        require_same(before, now, folder=folder)
    study.set_user_attr("search", now)
