"""The rounds of the loop: which images of the pool each gets, and what it leaves in its folder."""

import logging
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from data_engine.pool import Pool, ingest
from data_engine.run_folder import read_json, write_json
from sam_train.data.records import PhaseName
from sam_train.data.store.bad_samples import OnBad
from sam_train.data.store.manifest import ShardEntry

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Round:
    """One turn of the loop: how many new images, and how long the training after it."""

    phase: PhaseName
    images: int  # rounded up to whole shards
    max_steps: int
    revisit: bool = False  # also annotates the images of the earlier rounds again

    @property
    def is_bootstrap(self) -> bool:
        """Whether its masks are there already, like those of the public sets in the paper."""
        return self.phase == "known"

    def folder_name(self, number: int) -> str:
        return f"{number:02d}-{'bootstrap' if self.is_bootstrap else self.phase}"


def check_rounds(rounds: Sequence[Round], phases: Iterable[str]) -> None:
    """Raises ValueError unless the rounds are a bootstrap and then phases that are configured."""
    names = [turn.phase for turn in rounds]
    if names[:1] != ["known"] or not set(names[1:]) <= set(phases):
        raise ValueError(
            f"rounds must be one of phase known and then any of {', '.join(phases)}, not {names}"
        )


@dataclass(frozen=True)
class RoundFolder:
    """What a round leaves in RUN/rounds/NN-PHASE. Its summary comes last: then it is finished."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def title(self) -> str:
        """The name in words: `01 assisted manual`."""
        return self.name.replace("_", " ").replace("-", " ", 1)

    @property
    def annotate(self) -> Path:
        """The folder of its phase: a stats file for each shard that is finished."""
        return self.path / "annotate"

    @property
    def weights(self) -> Path:
        return self.path / "train" / "model.safetensors"

    @property
    def evaluation_dir(self) -> Path:
        """The pictures and the rows behind the evaluation."""
        return self.path / "evaluation"

    @cached_property
    def evaluation(self) -> dict[str, Any] | None:
        """The numbers on held-out sets; None where there are none yet."""
        path = self.path / "evaluation.json"
        return read_json(path) if path.exists() else None

    @property
    def is_finished(self) -> bool:
        return (self.path / "round.json").exists()

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What a finished round counted and reached."""
        return read_json(self.path / "round.json")

    def write_evaluation(self, numbers: dict[str, Any]) -> None:
        write_json(self.path / "evaluation.json", numbers)

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_json(self.path / "round.json", summary)


def finished_rounds(run_dir: Path) -> list[RoundFolder]:
    """The rounds of a run that are finished, in order."""
    folders = (RoundFolder(path.parent) for path in run_dir.glob("rounds/*/round.json"))
    return sorted(folders, key=lambda folder: folder.summary["round"])


@dataclass(frozen=True)
class PoolShards:
    """The images of a pool as shards of the dataset, dealt out to the rounds in order."""

    pool: Pool
    name: str
    dataset_root: Path
    images_per_shard: int
    with_masks: bool
    on_bad: OnBad
    readers: int = 1  # processes that read the pool

    def of_turn(self, wanted: Sequence[int], turn: int) -> list[ShardEntry]:
        """The shards of a turn; `wanted` images of each turn are rounded up to whole shards."""
        queue = iter(self._ingested(sum(wanted)))
        taken: list[ShardEntry] = []
        for images in wanted[: turn + 1]:
            taken = []
            while sum(entry.image_count for entry in taken) < images:
                entry = next(queue, None)
                if entry is None:
                    break
                taken.append(entry)
        if wanted[turn] and not taken:
            raise ValueError(
                f"the pool {self.pool.source} has no image left for the next round: lower `images` "
                "of the rounds before it or give a larger pool"
            )
        return taken

    def _ingested(self, images: int) -> list[ShardEntry]:
        """All shards that the rounds need together, written once."""
        done = self.dataset_root / "images" / f"{self.name}.json"
        if not done.exists():
            logger.info(f"{self.name}: writing {images} images of {self.pool.source} into shards")
            pool = copy(self.pool)
            pool.limit = images if pool.limit is None else min(images, pool.limit)
            entries = ingest(
                pool,
                self.dataset_root,
                name=self.name,
                images_per_shard=self.images_per_shard,
                with_masks=self.with_masks,
                on_bad=self.on_bad,
                readers=self.readers,
            )
            write_json(done, [asdict(entry) for entry in entries])
        return [ShardEntry(**entry) for entry in read_json(done)]
