"""The data of a training run: one version of one dataset, as an endless stream of batches."""

import logging
from pathlib import Path
from typing import Any

from lightning import LightningDataModule

from sam_train.data.store.bad_samples import BadSampleLog
from sam_train.data.store.locations import location
from sam_train.data.store.manifest import Dataset
from sam_train.data.stream.bad_share import BadShare
from sam_train.data.stream.examples import ExampleMaker
from sam_train.data.stream.image_order import ImageOrder
from sam_train.data.stream.mixture import Mixture
from sam_train.data.stream.pipeline import TrainingImages, TrainingStream

logger = logging.getLogger(__name__)


class SamDataModule(LightningDataModule):
    """Streams a version of a dataset.

    The stream has no end: the trainer's `max_steps` or `limit_train_batches` says how much of it
    is used. A checkpoint holds the version and the position in the stream, one batch per
    optimiser step; a resumed run goes on from there, with any number of workers or ranks. Useless
    samples are listed in `bad_samples`; a larger share than `max_bad_share` ends the run.
    """

    def __init__(
        self,
        dataset: Path | str,
        version: int | str = "latest",
        *,
        make_example: ExampleMaker,
        bad_samples: Path | str,
        batch_size: int,
        num_workers: int = 0,
        mixture: Mixture | None = None,
        max_bad_share: float = 0.1,
    ) -> None:
        super().__init__()
        self.dataset = Dataset(location(dataset))
        self.version = version
        self.make_example = make_example
        self.bad_samples = BadSampleLog(Path(bad_samples))
        self.bad_share = BadShare(max_bad_share, listed_in=Path(bad_samples))
        self.batch_size = _at_least("batch_size", batch_size, 1)
        self.num_workers = _at_least("num_workers", num_workers, 0)
        self.mixture = mixture or Mixture()
        self._resumed = {"step": 0, "position": 0}

    def setup(self, stage: str | None = None) -> None:
        """Finds what cannot work before any step is made; pins the version."""
        self.manifest = self.dataset.read(self.version)
        self.dataset.verify(self.manifest)
        self.shards = self.mixture.choose(self.dataset, self.manifest)

    def train_dataloader(self) -> TrainingStream:
        images = TrainingImages(
            self.shards,
            self.make_example,
            mixed_images=self.mixture.mixed_images,
            on_bad=self.bad_samples,
        )
        rank = self.trainer.global_rank if self.trainer else 0
        if rank == 0:
            logger.info(self._plan(images.order))
        return TrainingStream(
            images,
            self.bad_share,
            self.next_position,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            rank=rank,
            world_size=self._world_size,
        )

    def next_position(self) -> int:
        """How many images all ranks have trained on; batches that are loaded ahead do not count."""
        steps = (self.trainer.global_step if self.trainer else 0) - self._resumed["step"]
        return self._resumed["position"] + steps * self.batch_size * self._world_size

    def state_dict(self) -> dict[str, Any]:
        return {
            "version": self.manifest.version,
            "step": self.trainer.global_step,
            "position": self.next_position(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes back to the version that the run began with, or refuses another one."""
        began_with = state_dict["version"]
        if self.version != "latest" and self.dataset.read(self.version).version != began_with:
            raise ValueError(
                f"The run began with version {began_with} of {self.dataset.root}: resume it with "
                f"version={began_with}, or start another run for version {self.version}."
            )
        self.version = began_with
        self.setup()
        self._resumed = {name: state_dict[name] for name in ("step", "position")}

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer else 1

    def _plan(self, order: ImageOrder) -> str:
        """What happens with these shards on so many ranks and workers, in one line."""
        step_size = self.batch_size * self._world_size
        return (
            f"version {self.manifest.version} of {self.dataset.root}: {sum(order.counts)} images "
            f"with masks in {len(order.counts)} shards, {order.epoch_size} an epoch as weighted; "
            f"{self._world_size} ranks x {max(1, self.num_workers)} loaders share them image by "
            f"image, so none waits for uneven shards; an epoch is "
            f"{order.epoch_size / step_size:.1f} steps of {step_size}; begins at image "
            f"{self.next_position()}"
        )


def _at_least(name: str, value: int, least: int) -> int:
    if value < least:
        raise ValueError(f"`{name}` must be at least {least}, not {value}.")
    return value
