"""Entry point: trains a model on one version of a dataset.

python -m sam_train.train dataset=DIR
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sam_train.command_line import hydra_main
from sam_train.data.store.durable import durable_file
from sam_train.run_folder import config_sha256, locked, require_same
from sam_train.run_journal import journaled
from sam_train.training.safety.sealed_files import checkpoint_folder, sealed

# Of the keys that are no constructor's argument.
TYPES = {
    "version": int | str,
    "max_steps": int,
    "seed": int,
    "threads": int | None,
}
LOWEST = {"max_steps": 1, "seed": 0, "threads": 1}
# What may differ when a finished run is asked for again, and what may not when one goes on.
FREE_KEYS = {"output_dir", "run_name", "threads"}
ORIGIN_KEYS = {"dataset", "version", "seed", "model"}


@hydra_main("train", config_name="train", types=TYPES, lowest=LOWEST)
def main(cfg: DictConfig) -> None:
    train(cfg)


def train(cfg: DictConfig) -> None:
    """Goes on in `output_dir` where a run was interrupted; the composed config lies beside it."""
    if not (Path(cfg.dataset) / "manifests").is_dir():
        raise FileNotFoundError(f"{cfg.dataset} is no dataset: it has no folder manifests/")
    output_dir = Path(cfg.output_dir)
    config: Any = OmegaConf.to_container(cfg)
    if is_first_rank():
        with locked(output_dir):
            require_own(output_dir, config)

    # Imported here: what was wrong so far is told before torch is loaded.
    from lightning import seed_everything

    from sam_train.threads import set_threads

    set_threads(cfg.threads)
    seed_everything(cfg.seed, workers=True, verbose=False)  # before weights are drawn
    fit = instantiate(cfg.fit, _convert_="all")
    with owned(output_dir, config):
        fit(
            instantiate(cfg.model),
            dataset_root=cfg.dataset,
            version=cfg.version,
            output_dir=output_dir,
            max_steps=cfg.max_steps,
            seed=cfg.seed,
            from_scratch=cfg.model.checkpoint is None,
            origin={"config_sha256": config_sha256(config, free=FREE_KEYS), "config": config},
        )
    if is_first_rank():
        print(f"weights: {output_dir / 'model.safetensors'}")


@contextmanager
def owned(output_dir: Path, config: Mapping[str, Any]) -> Iterator[None]:
    """Holds the run's folder, writes the config there and notes how the run begins and ends.

    A rank beside the first only sees to it that the config is the folder's.
    """
    if not is_first_rank():
        claim(output_dir, config)
        yield
        return
    sha256 = config_sha256(config, free=FREE_KEYS)
    with locked(output_dir):
        claim(output_dir, config)
        with journaled(output_dir, program="train", config_sha256=sha256):
            yield


def claim(output_dir: Path, config: Mapping[str, Any]) -> None:
    """Writes config.yaml, unless the folder is another run's."""
    require_own(output_dir, config)
    with durable_file(output_dir / "config.yaml") as file:
        file.write(OmegaConf.to_yaml(OmegaConf.create(dict(config))).encode())


def require_own(output_dir: Path, config: Mapping[str, Any]) -> None:
    """Raises a ValueError where weights of another config are in the folder.

    An interrupted run may go on with another trainer or more steps, but not with other data.
    """
    path, finished = output_dir / "config.yaml", (output_dir / "model.safetensors").exists()
    if path.exists() and (finished or sealed(checkpoint_folder(output_dir))):
        before, now = resolved(OmegaConf.load(path)), resolved(OmegaConf.create(dict(config)))
        keys = now.keys() - FREE_KEYS if finished else ORIGIN_KEYS
        then, now = ({key: values.get(key) for key in keys} for values in (before, now))
        require_same(then, now, folder=output_dir)


def resolved(config: Any) -> dict[str, Any]:
    values: Any = OmegaConf.to_container(config, resolve=True)
    return values


def is_first_rank() -> bool:
    """Whether no launcher says that this process is another rank of the run than the first."""
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in ranks)


if __name__ == "__main__":
    main()
