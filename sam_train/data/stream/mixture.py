"""What a training run sees of a dataset version, and how often."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sam_train.data.records import PHASES
from sam_train.data.store.locations import Location
from sam_train.data.store.manifest import Dataset, Manifest


class ShardFiles(NamedTuple):
    """A shard, its current layer, and how often each of its images is drawn beside others."""

    images: Location
    annotations: Location | None = None
    weight: float = 1.0
    source: str = ""
    phase: str = "known"
    excluded: Collection[str] = ()


@dataclass(frozen=True)
class Mixture:
    """Weights of images by the phase and the source of their shard; a shard's own is the product.

    What is not named has weight 1, and 0 leaves it out. The paper trains on automatic masks alone;
    a mixture in which the masks of the first two phases are ten times as frequent was better by
    0.5 mIoU (SAM, sec. 7.6). About `mixed_images` images are shuffled together: a loader process
    remembers where so many lie.
    """

    phase_weights: Mapping[str, float | int] | None = None
    source_weights: Mapping[str, float | int] | None = None
    mixed_images: int = 200_000

    def __post_init__(self) -> None:
        if self.mixed_images < 1:
            raise ValueError(f"`mixed_images` must be at least 1, not {self.mixed_images}.")
        for name in ("phase_weights", "source_weights"):
            for key, weight in (getattr(self, name) or {}).items():
                if weight < 0:
                    raise ValueError(f"{name}.{key} must be at least 0, not {weight}.")

    def choose(self, dataset: Dataset, manifest: Manifest) -> list[ShardFiles]:
        """The shards of a version that hold masks and are not weighted away."""
        _require_known("phase", self.phase_weights, PHASES)
        _require_known("source", self.source_weights, {entry.source for entry in manifest.shards})
        shards = [
            ShardFiles(
                dataset.root / entry.images,
                dataset.layer(entry),
                self._weight(entry.phase, entry.source),
                entry.source,
                entry.phase,
                entry.excluded,
            )
            for entry in manifest.shards
            if entry.mask_count > 0 and self._weight(entry.phase, entry.source) > 0
        ]
        if not shards:
            raise ValueError(
                f"Version {manifest.version} of {dataset.root} has no masks to train on (phases "
                f"{sorted({entry.phase for entry in manifest.shards})}, weights "
                f"{self.phase_weights}, {self.source_weights}): annotate it first or change the "
                f"weights."
            )
        return shards

    def _weight(self, phase: str, source: str) -> float:
        by_phase, by_source = self.phase_weights or {}, self.source_weights or {}
        return float(by_phase.get(phase, 1) * by_source.get(source, 1))


def _require_known(
    kind: str, weights: Mapping[str, float | int] | None, known: Collection[str]
) -> None:
    unknown = (weights or {}).keys() - set(known)
    if unknown:
        raise ValueError(
            f"There is no {kind} {min(unknown)!r} to weight; {kind}s: {sorted(known)}."
        )
