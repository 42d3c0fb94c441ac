"""One training run on one version of a dataset, resumed where it stopped."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lightning import Callback, LightningDataModule, Trainer, seed_everything
from lightning.pytorch.loggers import Logger

from sam_train.modeling.checkpoint import save_model
from sam_train.modeling.sam import Sam
from sam_train.training.sam_module import SamModule


@dataclass(frozen=True)
class Fit:
    """How a model is trained; the parts of a run except its model and its data.

    `warm_start` prepares a model from random weights and is left out for others.
    """

    module: Callable[[Sam], SamModule]
    data: Callable[..., LightningDataModule]
    trainer: Callable[..., Trainer]
    callbacks: Mapping[str, Callback]
    loggers: Mapping[str, Callable[..., Logger]]
    warm_start: Callable[[Sam], None] | None = None

    def __call__(
        self,
        sam: Sam,
        *,
        dataset_root: Path | str,
        version: int | str,
        output_dir: Path | str,
        max_steps: int,
        seed: int,
        from_scratch: bool,
    ) -> None:
        """Trains `sam` in place and leaves `model.safetensors` in `output_dir`.

        A finished run returns at once; an interrupted one goes on from its last checkpoint.
        """
        output_dir = Path(output_dir)
        weights = output_dir / "model.safetensors"
        if weights.exists():
            return
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)  # no banner every round
        seed_everything(seed, workers=True, verbose=False)
        data = self.data(
            dataset=dataset_root, version=version, bad_samples=output_dir / "bad_samples.jsonl"
        )
        data.setup("fit")  # a dataset that cannot be used is told before the warm start
        last = output_dir / "checkpoints" / "last.ckpt"
        if last.exists():
            set_aside(output_dir / "metrics.csv")
        elif from_scratch and self.warm_start:
            self.warm_start(sam)
        trainer = self.trainer(
            default_root_dir=output_dir,
            max_steps=max_steps,
            callbacks=list(self.callbacks.values()),
            logger=[build(save_dir=output_dir) for build in self.loggers.values()],
        )
        trainer.fit(
            self.module(sam.train()),
            datamodule=data,
            ckpt_path=last if last.exists() else None,
            weights_only=True,
        )
        if trainer.interrupted:
            raise KeyboardInterrupt
        if trainer.is_global_zero:
            name, config = sam.recipe
            save_model(sam.eval(), weights, model=name, config=config)


def set_aside(metrics: Path) -> None:
    """Renames the metrics of an interrupted run, which Lightning's CSV logger would delete."""
    if metrics.exists():
        number = len(list(metrics.parent.glob("metrics-*.csv")))
        metrics.rename(metrics.with_name(f"metrics-{number}.csv"))
