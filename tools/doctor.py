"""Checks a machine before a long run, and says what will be the slowest.

python -m tools.doctor dataset=DATASET model=vit_b trainer=gpu output_dir=outputs/RUN

Exit status 1 if a check failed. Nothing is left in the folder of the run.
"""

import sys
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sam_train.command_line import hydra_main

TYPES = {
    "dataset": str | None,
    "version": int | str,
    "steps": int,
    "free_gib": float,
    "seed": int,
    "threads": int | None,
}
LOWEST = {"steps": 2, "threads": 1}


@hydra_main(
    "doctor", config_name="doctor", types=TYPES, lowest=LOWEST, may_lack=("fit.warm_start.source",)
)
def main(cfg: DictConfig) -> None:
    if not checked(cfg):
        sys.exit(1)


def checked(cfg: DictConfig) -> bool:
    """Prints a line for each check; whether none failed."""
    from sam_train.threads import set_threads
    from tools.machine_checks.all_reduce import exchange
    from tools.machine_checks.check import run_checks
    from tools.machine_checks.devices import devices
    from tools.machine_checks.disk import home, read_speed, room, write_speed
    from tools.machine_checks.surroundings import clock, tracking
    from tools.machine_checks.training import Timing

    set_threads(cfg.threads)
    values: Any = OmegaConf.to_container(cfg, resolve=True)
    folder, trainer = Path(cfg.output_dir), values["trainer"]
    sam = instantiate(cfg.model)
    weights = sum(parameter.numel() for parameter in sam.parameters())
    keep = values["fit"]["checkpoints"]["keep"]
    checks = {
        "devices": lambda: devices(trainer),
        "exchange": lambda: exchange(trainer, weights=weights),
        "disk": lambda: write_speed(folder),
        "room": lambda: room(folder, weights=weights, keep=keep, free_gib=cfg.free_gib),
        "home": home,
        "clock": lambda: clock(folder),
        "tracking": lambda: tracking(values["logger"]),
    }
    if cfg.dataset is not None:
        timing = Timing(cfg, sam)
        checks |= {
            "shards": lambda: read_speed(cfg.dataset, cfg.version),
            "loader": timing.loader,
            "step": timing.step,
            "slowest": timing.slowest,
        }
    found = run_checks(checks)
    if cfg.dataset is None:
        print("left out  loader and step: add dataset=DATASET")
    return all(check.state != "failed" for check in found)


if __name__ == "__main__":
    main()
