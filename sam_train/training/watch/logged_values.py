"""What a callback measures at steps of its own is logged at these, too."""

from collections.abc import Collection, Mapping
from typing import Any

from lightning import LightningModule


def log_values(
    module: LightningModule, values: Mapping[str, float], *, shown: Collection[str] = ()
) -> None:
    """Logs the values of this step, also between those of `trainer.log_every_n_steps`."""
    trainer: Any = module.trainer  # Lightning does not declare all its attributes
    for name, value in values.items():
        module.log(name, value, prog_bar=name in shown, rank_zero_only=True)
    if trainer.global_step % trainer.log_every_n_steps:
        for log in trainer.loggers:
            log.log_metrics(dict(values), step=trainer.global_step - 1)  # as Lightning counts
