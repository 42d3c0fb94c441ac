"""One training run on one version of a dataset, resumed where it stopped."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from lightning import Callback, LightningDataModule, Trainer, seed_everything
from lightning.pytorch.loggers import Logger

from sam_train.modeling.checkpoint import save_model
from sam_train.modeling.sam import Sam
from sam_train.training.sam_module import SamModule


def fit_sam(
    sam: Sam,
    *,
    dataset_root: Path | str,
    version: int | Literal["latest"],
    output_dir: Path | str,
    max_steps: int,
    seed: int,
    module: Callable[[Sam], SamModule],
    data: Callable[..., LightningDataModule],
    trainer: Callable[..., Trainer],
    callbacks: Mapping[str, Callback],
    loggers: Mapping[str, Callable[..., Logger]],
) -> None:
    """Trains `sam` in place and leaves `model.safetensors` in `output_dir`.

    A finished run returns at once; an interrupted one goes on from its last checkpoint.
    """
    output_dir = Path(output_dir)
    weights = output_dir / "model.safetensors"
    if weights.exists():
        return
    seed_everything(seed, workers=True, verbose=False)
    run = trainer(
        default_root_dir=output_dir,
        max_steps=max_steps,
        callbacks=list(callbacks.values()),
        logger=[build(save_dir=output_dir) for build in loggers.values()],
    )
    last = output_dir / "checkpoints" / "last.ckpt"
    run.fit(
        module(sam),
        datamodule=data(
            dataset=dataset_root, version=version, bad_samples=output_dir / "bad_samples.jsonl"
        ),
        ckpt_path=last if last.exists() else None,
        weights_only=True,
    )
    if run.interrupted:
        raise KeyboardInterrupt
    if run.is_global_zero:
        name, config = sam.recipe
        save_model(sam.eval(), weights, model=name, config=config)
