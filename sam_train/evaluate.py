"""Entry point: evaluates a model on the sets and protocols of a suite, and writes a report.

python -m sam_train.evaluate checkpoint=MODEL.safetensors suite=scenes
"""

import shlex
import sys
from collections.abc import Collection
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from sam_train.command_line import hydra_main
from sam_train.data.store.durable import durable_file, file_sha256
from sam_train.run_folder import config_sha256
from sam_train.run_journal import journaled

if TYPE_CHECKING:
    from sam_train.data.sets.labeled_image import ImageSet
    from sam_train.evaluation.models.segmenter import Segmenter
    from sam_train.evaluation.run import Task

TASK_KEYS = ("sets", "settings", "max_masks", "max_masks_per_image", "max_images")
TYPES = {"workers": int, "threads": int | None, "examples": int, "wandb_project": str | None}
FREE_KEYS = {"output_dir", "workers", "threads", "device"}  # they do not change a number
LOGGED_ROWS, LOGGED_PICTURES = 10_000, 16  # what W&B is given at most
LOWEST = {"workers": 1, "threads": 1, "examples": 0}


@hydra_main("evaluate", config_name="evaluate", types=TYPES, lowest=LOWEST)
def main(cfg: DictConfig) -> None:
    evaluate(cfg)


def evaluate(cfg: DictConfig) -> None:
    """Evaluates what is not yet evaluated, prints the tables, writes the report."""
    values: Any = OmegaConf.to_container(cfg, resolve=True)
    checkpoint_sha256 = checkpoint_hash(cfg)
    # Imported here: a missing checkpoint is told before torch is loaded.
    from sam_train.evaluation.report import summary_lines
    from sam_train.evaluation.suite import evaluate_tasks
    from sam_train.threads import set_threads

    set_threads(cfg.threads)
    image_sets, missing_sets = known_sets(cfg)
    output_dir = Path(cfg.output_dir)
    config: Any = OmegaConf.to_container(cfg)
    with durable_file(output_dir / "config.yaml") as file:
        file.write(OmegaConf.to_yaml(cfg).encode())
    sha256 = config_sha256(config, free=FREE_KEYS)
    with journaled(output_dir, program="evaluate", config_sha256=sha256):
        report = evaluate_tasks(
            partial(build_segmenter, values["segmenter"]),
            suite_tasks(cfg, image_sets),
            output_dir=output_dir,
            examples=cfg.examples,
            origin={
                "checkpoint": cfg.checkpoint,
                "checkpoint_sha256": checkpoint_sha256,
                "segmenter": {k: v for k, v in values["segmenter"].items() if k != "device"},
                "command": shlex.join(["python", "-m", "sam_train.evaluate", *sys.argv[1:]]),
                "config_sha256": sha256,
                "missing_sets": missing_sets,
            },
            workers=cfg.workers,
            against=None if cfg.against is None else Path(cfg.against),
        )
    print(summary_lines(report))
    if cfg.wandb_project is not None:
        log_to_wandb(report, output_dir, cfg.wandb_project)
    print(f"report: {output_dir / 'report.html'}")


def build_segmenter(config: dict[str, Any]) -> "Segmenter":
    """The model. What is wrong with it is told in a sentence, by a worker process too."""
    try:
        return instantiate(config)
    except InstantiationException as error:
        raise ValueError(str(error.__cause__ or error)) from error


def checkpoint_hash(cfg: DictConfig) -> str | None:
    """The sha256 of the checkpoint, where the model has one."""
    if cfg.checkpoint is None and "checkpoint" in cfg.segmenter:
        raise ValueError("checkpoint is not given; add checkpoint=FILE")
    if cfg.checkpoint is None:
        return None
    path = Path(cfg.checkpoint)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint file {path}; check checkpoint=PATH")
    return file_sha256(path)


def known_sets(cfg: DictConfig) -> tuple[dict[str, "ImageSet"], list[str]]:
    """The sets of the suite's tasks, and the names of those that are not there."""
    if cfg.missing_sets not in ("stop", "skip"):
        raise ValueError(f"missing_sets is {cfg.missing_sets!r}, but must be stop or skip")
    found, missing = {}, []
    for name in wanted_sets(cfg):
        try:
            config: Any = OmegaConf.to_container(cfg.suite.sets[name], resolve=True)
            log_left_out(config, Path(cfg.output_dir))
            found[name] = instantiate(config, _convert_="all")
        except InstantiationException as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            if cfg.missing_sets == "stop":
                raise FileNotFoundError(
                    f"{error.__cause__}; or go on without it: missing_sets=skip"
                ) from error
            print(f"left out: {error.__cause__}")
            missing.append(name)
    if missing and not found:
        raise FileNotFoundError(
            f"none of the {len(missing)} sets of the suite is there: set what the lines above name"
        )
    return found, missing


def log_left_out(config: Any, output_dir: Path) -> None:
    """Lets a set, and every set within, list what it leaves out where the run lists its own."""
    if not isinstance(config, dict):
        return
    for part in list(config.values()):
        log_left_out(part, output_dir)
    if "_target_" in config and "on_bad" in arguments_of(config["_target_"]):
        config["on_bad"] = {
            "_target_": "sam_train.evaluation.run.bad_log",
            "folder": {"_target_": "pathlib.Path", "_args_": [str(output_dir)]},
        }


def arguments_of(target: str) -> Collection[str]:
    """What a class of a config takes; nothing where there is none, as building it will tell."""
    try:
        return signature(get_object(target)).parameters
    except (ImportError, ValueError):
        return ()


def wanted_sets(cfg: DictConfig) -> list[str]:
    """The names of the sets that a task asks for, in the order of the suite."""
    wanted = {name for task in wanted_tasks(cfg).values() for name in task_sets(cfg, task)}
    if unknown := wanted - cfg.suite.sets.keys():
        raise ValueError(f"the suite has no set {min(unknown)}, only {', '.join(cfg.suite.sets)}")
    return [name for name in cfg.suite.sets if name in wanted]


def wanted_tasks(cfg: DictConfig) -> dict[str, dict[str, Any]]:
    """For each protocol what it is run on, as the suite says; one that is alone may be new."""
    tasks: Any = OmegaConf.to_container(cfg.suite.tasks, resolve=True)
    if cfg.get("protocol") is not None:
        return {cfg.protocol.name: tasks.get(cfg.protocol.name, {"sets": "all"})}
    if unknown := tasks.keys() - cfg.protocols.keys():
        raise ValueError(f"there is no protocol {min(unknown)}, only {', '.join(cfg.protocols)}")
    for name, task in tasks.items():
        if unknown := task.keys() - set(TASK_KEYS):
            known = ", ".join(TASK_KEYS)
            raise ValueError(f"suite.tasks.{name} has no {min(unknown)}, only {known}")
    return tasks


def task_sets(cfg: DictConfig, task: dict[str, Any]) -> list[str]:
    """The sets that one protocol is for."""
    return list(cfg.suite.sets) if task["sets"] == "all" else list(task["sets"])


def suite_tasks(cfg: DictConfig, image_sets: dict[str, "ImageSet"]) -> list["Task"]:
    """Every set under every protocol that the suite has for it."""
    from sam_train.evaluation.measures.floors import training_radius
    from sam_train.evaluation.run import Task
    from sam_train.evaluation.sets.sampling import Sampling

    tasks = []
    for name, task in wanted_tasks(cfg).items():
        sampling = Sampling(**{k: v for k, v in task.items() if k not in ("sets", "settings")})
        config = cfg.protocols[name] if cfg.get("protocol") is None else cfg.protocol
        settings = dict(task.get("settings", {}))
        if cfg.radius_from is not None and "disc_radius" in config:
            settings["disc_radius"] = training_radius(Path(cfg.radius_from))
        protocol = instantiate(config, **settings, _convert_="all")
        found = [image_sets[key] for key in task_sets(cfg, task) if key in image_sets]
        tasks += [Task(protocol, image_set, sampling) for image_set in found]
    return tasks


def log_to_wandb(report: dict[str, Any], output_dir: Path, project: str) -> None:
    """Every number of every table as PROTOCOL/SET/NAME, the tables, and the first examples."""
    import wandb

    from sam_train.wandb_run import wandb_arguments

    rows = [
        (protocol, name, key, value)
        for protocol, table in report["protocols"].items()
        for name, row in {**table["sets"], "mean": table["mean"]}.items()
        for key, value in row.items()
        if isinstance(value, int | float)
    ]
    pictures = sorted((output_dir / "examples").glob("*.jpg"))[:LOGGED_PICTURES]
    arguments = wandb_arguments(output_dir)
    with wandb.init(project=project, dir=output_dir, job_type="evaluate", **arguments) as run:
        run.log({f"{protocol}/{name}/{key}": value for protocol, name, key, value in rows})
        columns: list[str | int] = ["protocol", "set", "measure", "value"]
        run.log({"tables": wandb.Table(columns=columns, data=rows[:LOGGED_ROWS])})
        run.log({"examples": [wandb.Image(str(path)) for path in pictures]})


if __name__ == "__main__":
    main()
