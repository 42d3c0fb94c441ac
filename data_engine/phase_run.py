"""One phase over shards of a dataset: what the loop does every round, and what runs alone."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_engine.annotation.annotators import KnownMasks, SimulatedAnnotator
from data_engine.annotation.provenance import Stamp
from data_engine.annotation.task import TaskPredictor
from data_engine.executors.executor import Executor
from data_engine.phases.phase import BuildAnnotator, BuildPhase, Phase, Samples
from data_engine.phases.shard_work import ShardJob, ShardWork
from data_engine.progress import shown_progress
from data_engine.run_folder import read_json
from sam_train.data.records import Sample
from sam_train.data.store.bad_samples import OnBad, pass_over
from sam_train.data.store.manifest import Dataset, ShardEntry
from sam_train.data.store.shards import read_shard
from sam_train.modeling.sam import Sam

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PhaseRun:
    """A phase of one round. Finished shards lie in `folder` as stats files and are not redone."""

    dataset: Dataset
    folder: Path
    stamp: Stamp
    build_phase: BuildPhase
    build_annotator: BuildAnnotator
    known_masks: KnownMasks
    executor: Executor
    on_bad: OnBad

    @property
    def name(self) -> str:
        """The name of the phase in this round, and of its annotation layer."""
        return f"{self.stamp.round:02d}-{self.stamp.phase}"

    def run(self, sam: Sam, entries: Sequence[ShardEntry], samples: Samples) -> list[ShardEntry]:
        """Annotates the images of the shards and returns the entries with their new layer.

        `samples` are the masks so far, for a phase that learns from them first.
        """
        jobs = [self._job(entry) for entry in entries]
        pending = [job for job in jobs if not job.done]
        if pending:
            phase = self._phase(sam, jobs)
            phase.prepare(samples, self.folder)
            images = {Path(entry.images).stem: entry.image_count for entry in entries}
            with shown_progress(self.folder, images, name=self.name):
                for _ in self.executor.run(ShardWork(sam, phase, self.on_bad), pending):
                    pass
        self._require_usable_images(jobs)
        return [self._annotated(entry, job) for entry, job in zip(entries, jobs, strict=True)]

    def _phase(self, sam: Sam, jobs: Sequence[ShardJob]) -> Phase:
        predictor = TaskPredictor(sam.eval())
        annotator = self.build_annotator(predictor, self.stamp, self.known_masks)
        if isinstance(annotator, SimulatedAnnotator) and self.stamp.phase != "fully_automatic":
            self._require_known_masks(jobs)
        return self.build_phase(predictor, self.stamp, annotator)

    def _require_known_masks(self, jobs: Sequence[ShardJob]) -> None:
        """Tells early when there is nothing that the simulated annotator could answer from."""
        keys = (sample.key for job in jobs for sample in read_shard(job.images, on_bad=pass_over))
        if any(map(self._has_known_masks, keys)):
            return
        if self.stamp.phase == "assisted_manual":
            raise ValueError(
                "the pool has no known masks, so the simulated annotator cannot answer: choose a "
                "pool with masks (pool=coco, pool=mask_folder) or phase=fully_automatic"
            )
        logger.warning(
            f"{self.name}: the pool has no known masks, so the simulated annotator adds and "
            "removes nothing; annotator=none says so"
        )

    def _require_usable_images(self, jobs: Sequence[ShardJob]) -> None:
        """Ends the run where the phase failed on every image: it would make an empty version."""
        stats = [read_json(job.stats) for job in jobs]
        images, bad = (sum(counts[name] for counts in stats) for name in ("images", "bad"))
        if images and bad == images:
            raise ValueError(
                f"{self.name} could use none of {images} images: bad_samples.jsonl says why; mend "
                "that and choose another output_dir"
            )

    def _has_known_masks(self, key: str) -> bool:
        """Masks that cannot be read are there; the work on their image lists them."""
        try:
            return bool(self.known_masks(key))
        except (ValueError, OSError):
            return True

    def _job(self, entry: ShardEntry) -> ShardJob:
        root, name = Path(self.dataset.root), Path(entry.images).name
        return ShardJob(
            images=root / entry.images,
            current=self.dataset.layer(entry),
            layer=root / "annotations" / self.name / name,
            stats=self.folder / f"{Path(name).stem}.stats.json",
        )

    def _annotated(self, entry: ShardEntry, job: ShardJob) -> ShardEntry:
        stats = read_json(job.stats)
        return replace(
            entry,
            annotations=f"annotations/{self.name}/{job.layer.name}",
            annotations_sha256=stats["sha256"],
            bytes=job.images.stat().st_size + job.layer.stat().st_size,
            mask_count=stats["masks"],
            phase=self.stamp.phase,
        )


def entry_samples(root: Path, entries: Iterable[ShardEntry]) -> Iterator[Sample]:
    """The images of shards with their current masks; bad samples are passed over."""
    dataset = Dataset(root)
    for entry in entries:
        yield from dataset.samples(entry, on_bad=pass_over)
