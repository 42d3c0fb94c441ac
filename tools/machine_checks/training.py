"""What a rank's loader gives, what its model takes, and which of the two a run will wait for."""

import csv
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, open_dict

from sam_train.modeling.sam import Sam
from tools.machine_checks.check import Check

LOADED_S = 10.0  # at most


@dataclass
class Timing:
    """Times the loader alone, then real training steps of one rank, in a folder that goes away."""

    cfg: DictConfig
    sam: Sam
    loaded: float | None = field(default=None, init=False)  # images a second
    trained: float | None = field(default=None, init=False)
    waited: float = field(default=0.0, init=False)  # share of the time of a step

    def loader(self) -> Check:
        with tempfile.TemporaryDirectory() as folder:
            data = instantiate(self.cfg.data, _convert_="all")(
                dataset=self.cfg.dataset,
                version=self.cfg.version,
                bad_samples=Path(folder) / "bad_samples.jsonl",
            )
            data.setup("fit")
            batches = iter(data.train_dataloader())
            next(batches)  # the workers begin
            images, start = 0, time.monotonic()
            while images < data.batch_size * self.cfg.steps * 4 and (
                time.monotonic() - start < LOADED_S
            ):
                images += len(next(batches)["images"])
            self.loaded = images / (time.monotonic() - start)
        workers = self.cfg.data.num_workers
        return Check("ok", f"{self.loaded:.1f} images/s with data.num_workers={workers}")

    def step(self) -> Check:
        with tempfile.TemporaryDirectory() as folder:
            fit = instantiate(timed(self.cfg).fit, _convert_="all")
            fit(
                self.sam,
                dataset_root=self.cfg.dataset,
                version=self.cfg.version,
                output_dir=folder,
                max_steps=2 * self.cfg.steps,
                seed=self.cfg.seed,
                from_scratch=False,
            )
            with (Path(folder) / "metrics.csv").open() as file:
                rows = [row for row in csv.DictReader(file) if row.get("speed/images_per_s")]
        last = rows[-1]  # the first half begins with compiling and allocating
        self.trained, self.waited = (
            float(last["speed/images_per_s"]),
            float(last["speed/data_wait"]),
        )
        memory = f", {float(last['speed/gpu_gib']):.1f} GiB" if last.get("speed/gpu_gib") else ""
        seconds = self.cfg.data.batch_size / self.trained
        return Check(
            "ok",
            f"{self.trained:.2f} images/s on one rank, {seconds:.2f} s a step{memory}, "
            f"{self.waited:.0%} of it waiting for data",
        )

    def slowest(self) -> Check:
        """Which part a run waits for; a loader that cannot keep up has a remedy."""
        if self.loaded is None or self.trained is None:
            return Check("failed", "loader or step could not be timed, see above")
        model = self.trained / max(1 - self.waited, 1e-3)
        both = f"the model takes {model:.2f} images/s, the loader gives {self.loaded:.1f}"
        workers = self.cfg.data.num_workers
        if self.loaded > 1.1 * model and (workers or self.waited < 0.2):
            return Check("ok", f"the model: {both}")
        wanted = max(
            -(-int(1.2 * model * max(workers, 1)) // max(int(self.loaded), 1)), workers + 1
        )
        return Check("warning", f"the loader: {both}; try data.num_workers={wanted}")


def timed(cfg: DictConfig) -> DictConfig:
    """The config of a run of some steps on one rank, which leaves nothing but its speed."""
    short = cfg.copy()
    with open_dict(short):
        short.trainer.devices, short.trainer.num_nodes, short.trainer.strategy = 1, 1, "auto"
        short.callbacks = {"throughput": short.callbacks.throughput}
        short.callbacks.throughput.every_n_steps = cfg.steps
        short.trainer.log_every_n_steps = 1
        short.logger = {"csv": short.logger.csv}
        short.fit.checkpoints.minutes = None
        if "warm_start" in short.fit:
            short.fit.warm_start = None
    return short
