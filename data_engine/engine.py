"""The loop of the data engine: phase, shards, retrain, evaluate, next round (SAM, section 4)."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_engine.annotation.accounting import Cost, costs
from data_engine.annotation.provenance import Stamp
from data_engine.annotation.task import TaskPredictor
from data_engine.executors.executor import Executor
from data_engine.people.rounds import PHASES as PEOPLES_PHASES
from data_engine.people.rounds import People, check_rounds_of_people
from data_engine.phase_run import PhaseRun, entry_samples
from data_engine.phases.phase import BuildAnnotator, BuildPhase
from data_engine.pool import Pool
from data_engine.retraining import Retraining, model_of
from data_engine.rounds import PoolShards, Round, RoundFolder, check_rounds
from data_engine.run_folder import read_json
from sam_train.data.records import Sample
from sam_train.data.store.bad_samples import BadSampleLog
from sam_train.data.store.durable import durable_file, file_sha256
from sam_train.data.store.manifest import Dataset, Manifest, ShardEntry

logger = logging.getLogger(__name__)

CLICKS = (1, 3, 5)  # of the table of rounds


@dataclass(frozen=True)
class Engine:
    """Runs the rounds into a folder. Whatever is finished there is kept, the rest is done.

    `evaluate(sam, output_dir=, origin=)` returns the numbers on held-out sets.
    """

    run_dir: Path
    rounds: Sequence[Round]
    bootstrap: Pool
    pool: Pool
    phases: Mapping[str, BuildPhase]
    annotator: BuildAnnotator
    executor: Executor
    retrain: Retraining
    evaluate: Callable[..., dict[str, Any]]
    config_sha256: str
    images_per_shard: int = 16

    def run(self) -> None:
        """Runs every round that is not finished, in order."""
        check_rounds(self.rounds, self.phases)
        if isinstance(self.annotator, People):
            check_rounds_of_people(self.rounds)
        if not self._folder(0).is_finished:
            self._check_settings()
        for number in range(len(self.rounds)):
            self._new_shards(number)  # a pool that is too small is told before any training
        for number in range(len(self.rounds)):
            if self._folder(number).is_finished:
                logger.info(f"{self._folder(number).name}: done before")
            else:
                self._run_round(number)
        self._publish(self._folder(len(self.rounds) - 1).weights)

    def _run_round(self, number: int) -> None:
        started, folder = time.monotonic(), self._folder(number)
        manifest = self._version(number) or self._annotate(number)
        self.retrain(
            folder,
            self._folder(number - 1) if number else None,
            number=number,
            max_steps=self.rounds[number].max_steps,
            dataset_root=self._dataset.root,
            version=manifest.version,
        )
        mean = self._evaluate(number, manifest.version)["mean"]
        counts = self._counts(number, manifest)
        summary = {
            "phase": manifest.phase,
            "round": number,
            **counts,
            **{f"iou_at_{clicks}": mean[f"iou_at_{clicks}"] for clicks in CLICKS},
            "iou_gain_per_hour": self._gain_per_hour(number, mean, counts["annotator_hours"]),
            "dataset_version": manifest.version,
            "checkpoint_sha256": file_sha256(folder.weights),
            "wall_seconds": round(time.monotonic() - started, 1),
        }
        folder.write_summary(summary)
        ious = " / ".join(f"{summary[f'iou_at_{clicks}']:.3f}" for clicks in CLICKS)
        logger.info(
            f"{folder.name}: {summary['masks_per_image']:.1f} masks per image, "
            f"IoU {ious} at 1 / 3 / 5 clicks, {summary['wall_seconds']:.0f} s"
        )

    def _check_settings(self) -> None:
        """Builds every phase once: settings that cannot work are told before any training."""
        predictor = TaskPredictor(self.retrain.build_model())
        for number, turn in enumerate(self.rounds[1:], start=1):
            stamp = Stamp(turn.phase, number, None, self.config_sha256)
            annotator = self.annotator(predictor, stamp, self.pool.known_masks)
            self.phases[turn.phase](predictor, stamp, annotator)

    # Annotate

    def _version(self, number: int) -> Manifest | None:
        """The dataset version of a round, if it has been committed."""
        manifests = map(self._dataset.read, self._dataset.versions())
        return next((manifest for manifest in manifests if manifest.round == number), None)

    def _annotate(self, number: int) -> Manifest:
        """Runs the phase on its images and commits all masks so far as one version."""
        turn = self.rounds[number]
        parent = self._version(number - 1)
        before = parent.shards if parent else ()
        shards, model_sha256 = self._new_shards(number), None
        if turn.revisit:
            shards = [entry for entry in before if entry.phase != "known"] + shards
        if not turn.is_bootstrap:
            model_sha256 = file_sha256(self._folder(number - 1).weights)
            shards = self._with_masks(number, shards, before, model_sha256)
        changed = {entry.images for entry in shards}
        return self._dataset.commit(
            [entry for entry in before if entry.images not in changed] + shards,
            parent=parent.version if parent else None,
            phase=turn.phase,
            round=number,
            model_sha256=model_sha256,
            config_sha256=self.config_sha256,
        )

    def _with_masks(
        self,
        number: int,
        shards: Sequence[ShardEntry],
        before: Sequence[ShardEntry],
        model_sha256: str,
    ) -> list[ShardEntry]:
        """The shards after the phase, which works with the model of the round before."""
        maker = self._folder(number - 1)
        phase_run, sam = self._phase_run(number, model_sha256), model_of(maker)

        def samples() -> Iterable[Sample]:
            # The newest masks first: those of the images like the ones to come.
            return entry_samples(self._dataset.root, reversed(before))

        if isinstance(self.annotator, People) and self.rounds[number].phase in PEOPLES_PHASES:
            phase_run = self.annotator.answered(
                phase_run, sam, shards, samples, weights=maker.weights
            )
        return phase_run.run(sam, shards, samples)

    def _new_shards(self, number: int) -> list[ShardEntry]:
        """The images that nobody has annotated yet: of the bootstrap, or the pool's next ones."""
        is_bootstrap = self.rounds[number].is_bootstrap
        pool_shards = PoolShards(
            pool=self.bootstrap if is_bootstrap else self.pool,
            name="bootstrap" if is_bootstrap else "pool",
            dataset_root=self._dataset.root,
            images_per_shard=self.images_per_shard,
            with_masks=is_bootstrap,
            on_bad=self._on_bad,
        )
        wanted = [turn.images for turn in self.rounds if turn.is_bootstrap == is_bootstrap]
        return pool_shards.of_turn(wanted, turn=0 if is_bootstrap else number - 1)

    def _phase_run(self, number: int, model_sha256: str) -> PhaseRun:
        turn = self.rounds[number]
        return PhaseRun(
            dataset=self._dataset,
            folder=self._folder(number).annotate,
            stamp=Stamp(turn.phase, number, model_sha256, self.config_sha256),
            build_phase=self.phases[turn.phase],
            build_annotator=self.annotator,
            known_masks=self.pool.known_masks,
            executor=self.executor,
            on_bad=self._on_bad,
        )

    # Evaluate and count

    def _publish(self, weights: Path) -> None:
        """Copies the weights of the last round to the run's folder, what describes them first."""
        for source in (weights.with_suffix(".json"), weights):
            with durable_file(self.run_dir / source.name) as file:
                file.write(source.read_bytes())

    def _evaluate(self, number: int, version: int) -> dict[str, Any]:
        """The numbers on held-out sets, computed once."""
        folder = self._folder(number)
        if folder.evaluation is not None:
            return folder.evaluation
        origin = {
            "checkpoint": str(folder.weights),
            "checkpoint_sha256": file_sha256(folder.weights),
            "dataset_version": version,
            "config_sha256": self.config_sha256,
            "command": (self.run_dir / "command.txt").read_text().strip(),
        }
        numbers = self.evaluate(model_of(folder), output_dir=folder.evaluation_dir, origin=origin)
        folder.write_evaluation(numbers)
        return numbers

    def _counts(self, number: int, manifest: Manifest) -> dict[str, Any]:
        """The images and masks of the round's phase, and what people spent on the new ones."""
        folder = self._folder(number)
        stats = [read_json(path) for path in sorted(folder.annotate.glob("*.stats.json"))]
        layer = f"annotations/{folder.name}/"
        shards = [
            entry
            for entry in manifest.shards
            if (entry.annotations or "").startswith(layer) or self.rounds[number].is_bootstrap
        ]
        images = sum(entry.image_count for entry in shards)
        masks = sum(entry.mask_count for entry in shards)
        records = (sample.record for sample in entry_samples(self._dataset.root, shards))
        cost = costs(records).get((manifest.phase, number), Cost(manifest.phase, number))
        elsewhere = sum((count.get("seconds_elsewhere", 0.0) for count in stats), start=0.0)
        return {
            "images": images,
            "masks": masks,
            "masks_per_image": masks / max(images, 1),
            **cost.per_mask(elsewhere),
            "annotator_hours": round((cost.seconds + elsewhere) / 3600, 6),
            "moved_on": sum(count.get("moved_on", 0) for count in stats),
            "prefilled": sum(count.get("prefilled", 0) for count in stats),
            "removed": sum(count.get("removed", 0) for count in stats),
        }

    def _gain_per_hour(self, number: int, mean: Mapping[str, float], hours: float) -> float | None:
        """What an hour of annotation added to the IoU after one click; None if nobody worked."""
        if number == 0 or hours == 0:
            return None
        before = self._folder(number - 1).summary["iou_at_1"]
        return round((mean["iou_at_1"] - before) / hours, 6)

    def _folder(self, number: int) -> RoundFolder:
        return RoundFolder(self.run_dir / "rounds" / self.rounds[number].folder_name(number))

    @property
    def _dataset(self) -> Dataset:
        return Dataset(self.run_dir / "dataset")

    @property
    def _on_bad(self) -> BadSampleLog:
        return BadSampleLog(self.run_dir / "bad_samples.jsonl")
