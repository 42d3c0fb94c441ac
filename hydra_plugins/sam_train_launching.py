"""What Hydra finds by itself: launcher=local, launcher=slurm, and the search over a config."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from sam_train.command_line import one_sentence_errors


@dataclass
class LocalConfig:
    """The values of hydra.launcher with launcher=local."""

    _target_: str = "hydra_plugins.sam_train_launching.LocalLauncher"
    jobs: int = 1  # at a time
    restarts: int = 2  # of a job that is killed


class LocalLauncher(Launcher):
    """Each job of a multirun in a process of its own, on this machine."""

    def __init__(self, jobs: int, restarts: int) -> None:
        self.at_a_time = jobs
        self.restarts = restarts

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.config = config
        self.loader = hydra_context.config_loader

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> list[JobReturn]:
        from sam_train.launching.local import launch_here
        from sam_train.launching.multirun import jobs_of

        with one_sentence_errors(self.config.hydra.job.name):
            launch_here(
                jobs_of(self.config, self.loader, job_overrides),
                folder=Path(self.config.hydra.sweep.dir),
                at_a_time=self.at_a_time,
                restarts=self.restarts,
            )
        return completed(job_overrides)


class SlurmLauncher(LocalLauncher):
    """Each job of a multirun as a task of a Slurm array."""

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> list[JobReturn]:
        from sam_train.launching.multirun import jobs_of
        from sam_train.launching.slurm import launch_on_slurm

        with one_sentence_errors(self.config.hydra.job.name):
            launch_on_slurm(
                jobs_of(self.config, self.loader, job_overrides),
                folder=Path(self.config.hydra.sweep.dir),
                parameters=dict(self.parameters),
            )
        return completed(job_overrides)


@dataclass
class SearchConfig:
    """The values of hydra.sweeper in an experiment that searches."""

    _target_: str = "hydra_plugins.sam_train_launching.SearchSweeper"
    _recursive_: bool = False  # sampler and pruner are made where Optuna is known to be there
    params: dict[str, str] = field(default_factory=dict)  # the space, as Hydra writes sweeps
    trials: int = 24
    measure: str = "val/iou_at_1"
    direction: str = "maximize"
    sampler: Any = None  # of optuna.samplers; null: TPE
    pruner: Any = None  # of optuna.pruners; null: none


class SearchSweeper(Sweeper):
    """A search by Optuna; its trials run on this machine, hydra.launcher.jobs at a time.

    The same command, given on several machines, is several workers of one search.
    """

    def __init__(
        self,
        params: dict[str, str],
        trials: int,
        measure: str,
        direction: str,
        sampler: Any,
        pruner: Any,
    ) -> None:
        self.params = params
        self.goal = {"measure": measure, "direction": direction, "trials": trials}
        self.parts = {"sampler": sampler, "pruner": pruner}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.config = config
        self.config_loader = hydra_context.config_loader

    def sweep(self, arguments: list[str]) -> None:
        with one_sentence_errors(self.config.hydra.job.name):
            require_optuna()
            from sam_train.launching.search import Goal, search

            given = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
            overrides = OverridesParser.create(self.config_loader).parse_overrides(given)
            search(
                overrides,
                Goal(**self.goal),
                self.parts,
                config=self.config,
                loader=self.config_loader,
            )


def require_optuna() -> None:
    if find_spec("optuna") is None:
        raise ValueError("a search needs Optuna: pip install 'sam-train[sweep]'")


def completed(job_overrides: Sequence[Any]) -> list[JobReturn]:
    """What Hydra wants of jobs that came to their end; others have raised an error."""
    return [JobReturn(status=JobStatus.COMPLETED) for _ in job_overrides]


ConfigStore.instance().store(group="hydra/launcher", name="sam_train_local", node=LocalConfig)
ConfigStore.instance().store(group="hydra/sweeper", name="sam_train_search", node=SearchConfig)
