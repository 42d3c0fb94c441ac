"""Entry point: the whole loop, or one phase alone on a pool.

python -m data_engine.run experiment=quickstart
python -m data_engine.run phase=fully_automatic pool=folder pool.path=DIR checkpoint=FILE
"""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from data_engine.executors.executor import Executor
from sam_train.command_line import hydra_main
from sam_train.config_types import check_lowest, check_values

if TYPE_CHECKING:
    from sam_train.modeling.sam import Sam

# Of the keys that are no constructor's argument.
TYPES = {
    "seed": int,
    "threads": int | None,
    "images_per_shard": int,
    "continue_weights": bool,
    "checkpoint": str | None,
    "masks_from": str | None,
    "rounds": list[dict],
}
LOWEST = {"seed": 0, "threads": 1, "images_per_shard": 1}


@hydra_main("data-engine", config_name="engine", types=TYPES, lowest=LOWEST)
def main(cfg: DictConfig) -> None:
    run(cfg)


def run(cfg: DictConfig) -> None:
    """Goes on in `output_dir` with whatever is not finished there."""
    config: Any = OmegaConf.to_container(cfg)
    command = shlex.join(["python", "-m", "data_engine.run", *sys.argv[1:]])

    values: Any = OmegaConf.to_container(cfg, resolve=True)
    if cfg.get("phase") is not None and cfg.checkpoint is None:
        raise ValueError("one phase alone needs a model: add checkpoint=FILE")
    check_outside(Path(cfg.output_dir), values["pool"])
    executor = instantiate(cfg.executor)  # a scheduler that is not there is told here

    # Imported here: what was wrong so far is told before torch is loaded.
    from data_engine.rounds import Round
    from data_engine.run_folder import claim
    from sam_train.run_folder import locked
    from sam_train.run_journal import journaled
    from sam_train.threads import set_threads

    for number, turn in enumerate(values["rounds"]):
        check_values(turn, get_type_hints(Round), f"rounds.{number}")
        check_lowest(turn, {"images": 0, "max_steps": 1}, f"rounds.{number}")
    # The phase alone may run in other processes, which have one thread; it shall give the same.
    set_threads(cfg.threads or (1 if cfg.get("phase") else None))
    with locked(Path(cfg.output_dir)):
        config_sha256 = claim(Path(cfg.output_dir), config, command)
        do = run_loop if cfg.get("phase") is None else run_phase
        with journaled(Path(cfg.output_dir), program="data-engine", config_sha256=config_sha256):
            do(cfg, config_sha256, executor)


def check_outside(output_dir: Path, pool: Mapping[str, Any]) -> None:
    """Refuses to write into the pool: its pictures would be among the images of the next run."""
    for key in ("path", "images", "dataset"):
        inside = pool.get(key)
        if inside and output_dir.resolve().is_relative_to(Path(inside).resolve()):
            raise ValueError(f"output_dir={output_dir} lies inside pool.{key}: choose another")


def run_loop(cfg: DictConfig, config_sha256: str, executor: Executor) -> None:
    """All rounds, then the report."""
    from data_engine.engine import Engine
    from data_engine.report import write_report
    from data_engine.retraining import Retraining
    from data_engine.rounds import Round

    try:
        rounds = [Round(**turn) for turn in cfg.rounds]
    except TypeError as error:
        raise ValueError(f"rounds: {error}; they take phase, images, max_steps, revisit") from error
    evaluate = instantiate(cfg.evaluate, _convert_="all")
    check_evaluation(**evaluate.keywords)
    origin = {"config_sha256": config_sha256, "config": OmegaConf.to_container(cfg)}
    engine = Engine(
        run_dir=Path(cfg.output_dir),
        rounds=rounds,
        bootstrap=instantiate(cfg.bootstrap, _convert_="all"),
        pool=instantiate(cfg.pool, _convert_="all"),
        phases={name: instantiate(phase) for name, phase in cfg.phases.items()},
        annotator=instantiate(cfg.annotator),
        executor=executor,
        retrain=Retraining(
            build_model=lambda: instantiate(cfg.model),
            # Built anew for every round: callbacks and loggers remember their first run.
            train=lambda sam, **run: instantiate(cfg.fit, _convert_="all")(
                sam, origin=origin, **run
            ),
            continue_weights=cfg.continue_weights,
            from_scratch=cfg.checkpoint is None,
            seed=cfg.seed,
        ),
        evaluate=evaluate,
        config_sha256=config_sha256,
        images_per_shard=cfg.images_per_shard,
    )
    engine.run()
    write_report(engine.run_dir)
    print(f"report: {engine.run_dir / 'report.html'}")


def check_evaluation(
    *, image_sets: Mapping[str, Any], protocol: Mapping[str, Any], **_: Any
) -> None:
    """Refuses an evaluation that could not fill the table of rounds, before anything is trained."""
    from data_engine.engine import CLICKS

    if not any(map(len, image_sets.values())):
        raise ValueError("suite.sets hold no image, so no round could be evaluated: add a set")
    if missing := set(CLICKS) - set(protocol.get("clicks", CLICKS)):
        raise ValueError(
            f"evaluate.protocol.clicks lacks {sorted(missing)}, which the table of rounds needs: "
            f"add them"
        )


def run_phase(cfg: DictConfig, config_sha256: str, executor: Executor) -> None:
    """One phase on a whole pool; its masks become version 1 of `output_dir`/dataset."""
    name = next(name for name, phase in cfg.phases.items() if phase._target_ == cfg.phase._target_)
    pool, bootstrap = (instantiate(cfg[key], _convert_="all") for key in ("pool", "bootstrap"))

    from data_engine.annotation.provenance import Stamp
    from data_engine.people.rounds import People
    from data_engine.phase_report import write_phase_report
    from data_engine.phase_run import PhaseRun
    from data_engine.single_phase import annotate_pool, dataset_samples, pool_samples
    from sam_train.data.store.bad_samples import BadSampleLog
    from sam_train.data.store.durable import file_sha256
    from sam_train.data.store.manifest import Dataset

    annotator = instantiate(cfg.annotator)
    if isinstance(annotator, People):
        raise ValueError(
            f"people do one phase through the server: python -m data_engine.serve phase={name}; "
            "here choose annotator=simulated or annotator=none"
        )
    # Workers elsewhere have another working directory.
    output_dir, checkpoint = Path(cfg.output_dir).absolute(), Path(cfg.checkpoint)
    sam, bad_samples = load(cfg, checkpoint), BadSampleLog(output_dir / "bad_samples.jsonl")
    phase_run = PhaseRun(
        dataset=Dataset(output_dir / "dataset"),
        folder=output_dir / "annotate",
        stamp=Stamp(name, 0, file_sha256(checkpoint), config_sha256),
        build_phase=instantiate(cfg.phase),
        build_annotator=annotator,
        known_masks=pool.known_masks,
        executor=executor,
        on_bad=bad_samples,
    )
    summary = annotate_pool(
        pool,
        sam,
        phase_run,
        samples=lambda: (
            dataset_samples(Path(cfg.masks_from)) if cfg.masks_from else pool_samples(bootstrap)
        ),
        images_per_shard=cfg.images_per_shard,
        readers=len(os.sched_getaffinity(0)),
    )
    told = {key: value for key, value in summary.items() if value or key in ("images", "masks")}
    print(", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in told.items()))
    if left_out := sum(bad_samples.counts().values()):
        print(f"left out: {left_out} images, each with its reason in {bad_samples.path}")
    print(f"masks: version 1 of {output_dir / 'dataset'}")
    print(f"report: {write_phase_report(output_dir, summary)}")


def load(cfg: DictConfig, checkpoint: Path) -> "Sam":
    """The model of a checkpoint, on the CPU: workers bring it to the devices that they have.

    An official .pth is built from the model's config.
    """
    from sam_train.modeling.checkpoint import load_model

    return load_model(checkpoint) if checkpoint.suffix == ".safetensors" else instantiate(cfg.model)


if __name__ == "__main__":
    main()
