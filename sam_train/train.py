"""Entry point: trains a model on one version of a dataset.

python -m sam_train.train dataset=DIR
"""

from pathlib import Path
from typing import Any

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sam_train.command_line import one_sentence_errors

# Of the keys that are no constructor's argument.
TYPES = {
    "version": int | str,
    "max_steps": int,
    "seed": int,
    "threads": int | None,
}


@hydra.main(config_path="../configs", config_name="train", version_base="1.3")
def main(cfg: DictConfig) -> None:
    with one_sentence_errors("train"):
        train(cfg)


def train(cfg: DictConfig) -> None:
    """Goes on in `output_dir` where a run was interrupted; the composed config lies beside it."""
    if OmegaConf.is_missing(cfg, "dataset"):
        raise ValueError("no dataset is given; add dataset=DIR, a folder with manifests/")
    if not (Path(cfg.dataset) / "manifests").is_dir():
        raise FileNotFoundError(f"{cfg.dataset} is no dataset: it has no folder manifests/")
    OmegaConf.resolve(cfg)
    output_dir = Path(cfg.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(cfg, output_dir / "config.yaml")

    # Imported here: a missing dataset is told before torch is loaded.
    from lightning import seed_everything

    from sam_train.config_types import check_types, check_values
    from sam_train.threads import set_threads

    values: Any = OmegaConf.to_container(cfg)
    check_values(values, TYPES)
    check_types(values)
    set_threads(cfg.threads)
    seed_everything(cfg.seed, workers=True, verbose=False)  # before weights are drawn
    fit = instantiate(cfg.fit, _convert_="all")
    fit(
        instantiate(cfg.model),
        dataset_root=cfg.dataset,
        version=cfg.version,
        output_dir=output_dir,
        max_steps=cfg.max_steps,
        seed=cfg.seed,
        from_scratch=cfg.model.checkpoint is None,
    )
    print(f"weights: {output_dir / 'model.safetensors'}")


if __name__ == "__main__":
    main()
