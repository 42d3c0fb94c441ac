"""The loop of the data engine: phase, shards, retrain, evaluate, next round (SAM, section 4)."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data_engine.annotation.accounting import Cost, costs
from data_engine.annotation.provenance import Stamp
from data_engine.annotation.task import TaskPredictor
from data_engine.executors.executor import Executor
from data_engine.people.rounds import PHASES as PEOPLES_PHASES
from data_engine.people.rounds import People, check_rounds_of_people
from data_engine.phase_run import PhaseRun, entry_samples
from data_engine.phases.phase import BuildAnnotator, BuildPhase
from data_engine.pool import Pool
from data_engine.rounds import Images, Round, check_rounds
from data_engine.run_folder import read_json, write_json
from sam_train.data.records import Sample
from sam_train.data.store.bad_samples import BadSampleLog
from sam_train.data.store.durable import durable_file, file_sha256
from sam_train.data.store.manifest import Dataset, Manifest, ShardEntry
from sam_train.modeling.checkpoint import load_model
from sam_train.modeling.sam import Sam

logger = logging.getLogger(__name__)

CLICKS = (1, 3, 5)  # of the table of rounds


@dataclass(frozen=True)
class Engine:
    """Runs the rounds into a folder. Whatever is finished there is kept, the rest is done.

    `train(sam, dataset_root=, version=, output_dir=, max_steps=, seed=, from_scratch=)` leaves
    `model.safetensors` in `output_dir` and goes on where it was interrupted;
    `evaluate(sam, output_dir=, origin=)` returns the numbers on held-out sets.
    """

    run_dir: Path
    rounds: Sequence[Round]
    bootstrap: Pool
    pool: Pool
    phases: Mapping[str, BuildPhase]
    annotator: BuildAnnotator
    build_model: Callable[[], Sam]
    train: Callable[..., None]
    evaluate: Callable[..., dict[str, Any]]
    executor: Executor
    config_sha256: str
    images_per_shard: int = 16
    continue_weights: bool = True  # retraining starts from the weights of the round before
    from_scratch: bool = True  # the model that is built has random weights
    seed: int = 0

    def run(self) -> None:
        """Runs every round that is not finished, in order."""
        check_rounds(self.rounds, self.phases)
        if isinstance(self.annotator, People):
            check_rounds_of_people(self.rounds)
        if not (self._folder(0) / "round.json").exists():
            self._check_settings()
        for number in range(len(self.rounds)):
            self._new_shards(number)  # a pool that is too small is told before any training
        for number in range(len(self.rounds)):
            if (self._folder(number) / "round.json").exists():
                logger.info(f"{self._folder(number).name}: done before")
            else:
                self._run_round(number)
        self._publish(self._weights(len(self.rounds) - 1))

    def _run_round(self, number: int) -> None:
        started = time.monotonic()
        manifest = self._version(number) or self._annotate(number)
        weights = self._train(number, manifest.version)
        mean = self._evaluate(number, manifest.version)["mean"]
        counts = self._counts(number, manifest)
        summary = {
            "phase": manifest.phase,
            "round": number,
            **counts,
            **{f"iou_at_{clicks}": mean[f"iou_at_{clicks}"] for clicks in CLICKS},
            "iou_gain_per_hour": self._gain_per_hour(number, mean, counts["annotator_hours"]),
            "dataset_version": manifest.version,
            "checkpoint_sha256": file_sha256(weights),
            "wall_seconds": round(time.monotonic() - started, 1),
        }
        write_json(self._folder(number) / "round.json", summary)
        ious = " / ".join(f"{summary[f'iou_at_{clicks}']:.3f}" for clicks in CLICKS)
        logger.info(
            f"{self._folder(number).name}: {summary['masks_per_image']:.1f} masks per image, "
            f"IoU {ious} at 1 / 3 / 5 clicks, {summary['wall_seconds']:.0f} s"
        )

    def _check_settings(self) -> None:
        """Builds every phase once: settings that cannot work are told before any training."""
        predictor = TaskPredictor(self.build_model())
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
        model_sha256 = None if turn.is_bootstrap else file_sha256(self._weights(number - 1))

        shards = self._new_shards(number)
        if turn.revisit:
            shards = [entry for entry in before if entry.phase != "known"] + shards
        if not turn.is_bootstrap:
            phase_run, sam = self._phase_run(number, model_sha256), self._model(number - 1)

            def samples() -> Iterable[Sample]:
                # The newest masks first: those of the images like the ones to come.
                return entry_samples(self._dataset.root, reversed(before))

            if isinstance(self.annotator, People) and turn.phase in PEOPLES_PHASES:
                weights = self._weights(number - 1)
                phase_run = self.annotator.answered(
                    phase_run, sam, shards, samples, weights=weights
                )
            shards = phase_run.run(sam, shards, samples)
        changed = {entry.images for entry in shards}
        return self._dataset.commit(
            [entry for entry in before if entry.images not in changed] + shards,
            parent=parent.version if parent else None,
            phase=turn.phase,
            round=number,
            model_sha256=model_sha256,
            config_sha256=self.config_sha256,
        )

    def _new_shards(self, number: int) -> list[ShardEntry]:
        """The images that nobody has annotated yet: of the bootstrap, or the pool's next ones."""
        is_bootstrap = self.rounds[number].is_bootstrap
        images = Images(
            pool=self.bootstrap if is_bootstrap else self.pool,
            name="bootstrap" if is_bootstrap else "pool",
            dataset_root=self._dataset.root,
            images_per_shard=self.images_per_shard,
            with_masks=is_bootstrap,
            on_bad=self._on_bad,
        )
        wanted = [turn.images for turn in self.rounds if turn.is_bootstrap == is_bootstrap]
        return images.shards(wanted, turn=0 if is_bootstrap else number - 1)

    def _phase_run(self, number: int, model_sha256: str | None) -> PhaseRun:
        turn = self.rounds[number]
        return PhaseRun(
            dataset=self._dataset,
            folder=self._folder(number) / "annotate",
            stamp=Stamp(turn.phase, number, model_sha256, self.config_sha256),
            build_phase=self.phases[turn.phase],
            build_annotator=self.annotator,
            known_masks=self.pool.known_masks,
            executor=self.executor,
            on_bad=self._on_bad,
        )

    # Retrain and evaluate

    def _train(self, number: int, version: int) -> Path:
        """Trains on the version, unless the weights are there, and returns their file."""
        weights = self._weights(number)
        if not weights.exists():
            torch.manual_seed(self.seed)
            fresh = number == 0 or not self.continue_weights
            sam = self.build_model() if fresh else self._model(number - 1)
            max_steps = self.rounds[number].max_steps
            logger.info(f"{self._folder(number).name}: training {max_steps} steps")
            self.train(
                sam,
                dataset_root=self._dataset.root,
                version=version,
                output_dir=weights.parent,
                max_steps=max_steps,
                seed=self.seed + number,
                from_scratch=fresh and self.from_scratch,
            )
        return weights

    def _publish(self, weights: Path) -> None:
        """Copies the weights of the last round to the run's folder, what describes them first."""
        for source in (weights.with_suffix(".json"), weights):
            with durable_file(self.run_dir / source.name) as file:
                file.write(source.read_bytes())

    def _evaluate(self, number: int, version: int) -> dict[str, Any]:
        """The numbers on held-out sets, computed once."""
        path = self._folder(number) / "evaluation.json"
        if not path.exists():
            weights = self._weights(number)
            origin = {
                "checkpoint": str(weights),
                "checkpoint_sha256": file_sha256(weights),
                "dataset_version": version,
                "config_sha256": self.config_sha256,
                "command": (self.run_dir / "command.txt").read_text().strip(),
            }
            report = self.evaluate(
                self._model(number), output_dir=self._folder(number) / "evaluation", origin=origin
            )
            write_json(path, report)
        return read_json(path)

    def _counts(self, number: int, manifest: Manifest) -> dict[str, Any]:
        """The images and masks of the round's phase, and what people spent on the new ones."""
        stats = [
            read_json(path) for path in sorted(self._folder(number).glob("annotate/*.stats.json"))
        ]
        layer = f"annotations/{self._folder(number).name}/"
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
        before = read_json(self._folder(number - 1) / "round.json")["iou_at_1"]
        return round((mean["iou_at_1"] - before) / hours, 6)

    def _folder(self, number: int) -> Path:
        return self.run_dir / "rounds" / self.rounds[number].folder_name(number)

    def _weights(self, number: int) -> Path:
        return self._folder(number) / "train" / "model.safetensors"

    def _model(self, number: int) -> Sam:
        """The model of a round, where there is an accelerator on it."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return load_model(self._weights(number)).to(device)

    @property
    def _dataset(self) -> Dataset:
        return Dataset(self.run_dir / "dataset")

    @property
    def _on_bad(self) -> BadSampleLog:
        return BadSampleLog(self.run_dir / "bad_samples.jsonl")
