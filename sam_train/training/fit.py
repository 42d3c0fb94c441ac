"""One training run on one version of a dataset, resumed where it stopped."""

import logging
import signal
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning import Callback, LightningDataModule, Trainer, seed_everything
from lightning.pytorch.loggers import Logger

from sam_train.modeling.checkpoint import save_model
from sam_train.modeling.sam import Sam
from sam_train.training.adaptation import Adaptation
from sam_train.training.safety.checkpoints import Checkpoints
from sam_train.training.safety.failures import check_launch, one_sentence_of_ranks
from sam_train.training.safety.sealed_files import newest_checkpoint
from sam_train.training.scale.acceleration import Acceleration
from sam_train.training.scale.sharding import whole_model
from sam_train.training.step import StepModule

logger = logging.getLogger(__name__)

# What Lightning warns of: beginnings of its messages.
INTENDED = (
    "The `srun` command is available",  # a run beside Slurm, as on a login node
    "Experiment logs directory",  # it is the run's folder, whose metrics are set aside
    ".*LeafSpec.* is deprecated",  # its own call of torch
)


@dataclass(frozen=True)
class Fit:
    """How a model is trained; the parts of a run except its model and its data.

    `warm_start` prepares a model from random weights and is left out for others, which are
    retrained at `continued_lr_scale` times the learning rate. A callback that is None is left out.
    """

    module: Callable[[Sam], StepModule]
    data: Callable[..., LightningDataModule]
    trainer: Callable[..., Trainer]
    callbacks: Mapping[str, Callback | None]
    loggers: Mapping[str, Callable[..., Logger]]
    warm_start: Callable[[Sam], None] | None = None
    continued_lr_scale: float = 1.0
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    adaptation: Adaptation = field(default_factory=Adaptation)
    acceleration: Acceleration = field(default_factory=Acceleration)

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
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        """Trains `sam` in place and leaves `model.safetensors` in `output_dir`.

        `origin`, the config and its hash, is stored with every checkpoint and with the model.

        A finished run returns at once; an interrupted one goes on from its last checkpoint. One
        that SIGTERM, SIGUSR1 or Ctrl-C stops saves first, then exits with that signal's status.
        """
        output_dir = Path(output_dir)
        self.checkpoints.origin = dict(origin or {})
        weights = output_dir / "model.safetensors"
        if weights.exists():
            return
        quieten_lightning()
        seed_everything(seed, workers=True, verbose=False)
        data = self.data(
            dataset=dataset_root, version=version, bad_samples=output_dir / "bad_samples.jsonl"
        )
        data.setup("fit")  # a dataset that cannot be used is told before the warm start
        last = newest_checkpoint(output_dir)
        if last:
            set_aside(output_dir / "metrics.csv")
        elif from_scratch and self.warm_start:
            self.warm_start(sam)
        self.adaptation.apply(sam.train())
        self.acceleration.apply(sam)
        module = self.module(sam)
        if not from_scratch:
            module.optimization = module.optimization.scaled(self.continued_lr_scale)
        trainer = self._trainer(output_dir, max_steps)
        self._run(trainer, module, data, last)
        whole = whole_model(self.adaptation.merged(sam.eval()))
        if trainer.is_global_zero:
            name, config = sam.recipe
            save_model(whole, weights, model=name, config=config, origin=origin)

    def _trainer(self, output_dir: Path, max_steps: int) -> Trainer:
        return self.trainer(
            default_root_dir=output_dir,
            max_steps=max_steps,
            callbacks=[*filter(None, self.callbacks.values()), self.checkpoints],
            logger=[build(save_dir=output_dir) for build in self.loggers.values()],
        )

    def _run(
        self,
        trainer: Trainer,
        module: StepModule,
        data: LightningDataModule,
        checkpoint: Path | None,
    ) -> None:
        """Trains until the end, or raises: SystemExit where the run was asked to stop."""
        check_launch(trainer)
        try:
            with self.checkpoints.stop.caught(), one_sentence_of_ranks():
                trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        except SystemExit:  # how Lightning ends on a KeyboardInterrupt
            if trainer.interrupted:
                raise KeyboardInterrupt from None
            raise
        if number := self.checkpoints.stop.received:
            logger.warning(
                f"stopped by {signal.Signals(number).name} after a checkpoint: "
                f"the same command goes on from there"
            )
            raise SystemExit(128 + number)


def quieten_lightning() -> None:
    """Leaves out its banner and its warnings of what is meant to be so."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in INTENDED:
        warnings.filterwarnings("ignore", message)


def set_aside(metrics: Path) -> None:
    """Renames the metrics of an interrupted run, which Lightning's CSV logger would delete."""
    if metrics.exists():
        number = len(list(metrics.parent.glob("metrics-*.csv")))
        metrics.rename(metrics.with_name(f"metrics-{number}.csv"))
