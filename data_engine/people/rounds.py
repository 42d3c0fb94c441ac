"""People as the annotators of a round of the loop: asked, waited for, and answered from the store.

A round lies in RUN/rounds/NN-PHASE; what people do there, in its folder `people`.
"""

import logging
import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from data_engine.annotation.annotators import KnownMasks, NoAnnotator
from data_engine.annotation.provenance import Stamp
from data_engine.annotation.task import Task, TaskPredictor
from data_engine.executors.local import LocalExecutor
from data_engine.people.standing import ASKED, FOLDER
from data_engine.phase_run import PhaseRun, entry_samples
from data_engine.phases.phase import Samples
from data_engine.phases.semi_automatic import SemiAutomatic
from data_engine.pool import Pool
from data_engine.rounds import Round
from data_engine.run_folder import read_json, write_json
from sam_train.data.images import read_image
from sam_train.data.sets.shard_set import shard_image
from sam_train.data.store.manifest import Dataset, ShardEntry
from sam_train.modeling.sam import Sam
from sam_train.run_journal import Waiting

if TYPE_CHECKING:  # the loop runs without the packages of the server where nobody is asked
    from data_engine.people.tasks.store import Store
    from data_engine.people.tasks.tasks import NewTask

logger = logging.getLogger(__name__)

PHASES = ("assisted_manual", "semi_automatic")


class WaitingForPeople(Waiting):
    """The round goes on when people have finished its images."""


@dataclass(frozen=True)
class People:
    """Whoever opens the links that the annotation server prints; settings as of that server.

    Without `wait` the loop ends when a round is asked, and goes on when it is run again.
    """

    annotators: Sequence[str] = ("annotator",)
    review_share: float = 0.0
    reviewers: Sequence[str] = ()
    wait: bool = False
    poll_s: float = 10.0

    def __call__(
        self, predictor: TaskPredictor, stamp: Stamp, known_masks: KnownMasks
    ) -> NoAnnotator:
        """For a phase that asks nobody."""
        return NoAnnotator(predictor, stamp, known_masks)

    def answered(
        self,
        phase_run: PhaseRun,
        sam: Sam,
        entries: Sequence[ShardEntry],
        samples: Samples,
        *,
        weights: Path,
    ) -> PhaseRun:
        """The phase with what people saved, once all images are finished.

        Asks first, if that was not done. Raises WaitingForPeople unless it waits itself.
        """
        from data_engine.people.collect import with_answers
        from data_engine.people.tasks.store import Store

        folder = phase_run.folder.parent / FOLDER
        store = Store(folder / "people.sqlite")
        if not (folder / ASKED).exists():
            store.add(self._tasks(phase_run, sam, entries, samples))
            write_json(folder / ASKED, asked(phase_run, entries, folder))
        command = self._command(phase_run, weights)
        self._wait(store, phase_run.name, command)
        build_phase, build_annotator = with_answers(phase_run.build_phase, store)
        return replace(
            phase_run,
            build_phase=build_phase,
            build_annotator=build_annotator,
            executor=LocalExecutor(),
        )

    def _tasks(
        self, phase_run: PhaseRun, sam: Sam, entries: Sequence[ShardEntry], samples: Samples
    ) -> list["NewTask"]:
        """A task for every image, with the masks that the phase prefills."""
        from data_engine.people.tasks.tasks import first_tasks

        predictor = TaskPredictor(sam.eval())
        annotator = self(predictor, phase_run.stamp, phase_run.known_masks)
        phase = phase_run.build_phase(predictor, phase_run.stamp, annotator)
        phase.prepare(samples, phase_run.folder)
        tasks: list[NewTask] = []
        for sample in entry_samples(Path(phase_run.dataset.root), entries):
            (task,) = first_tasks(
                [sample.key], phase=phase_run.stamp.phase, round=phase_run.stamp.round
            )
            given = []
            if isinstance(phase, SemiAutomatic):
                given = phase.prefill(Task(sample.key, read_image(sample.image_bytes)))
            tasks.append(replace(task, place=len(tasks), given=given))
        return tasks

    def _wait(self, store: "Store", name: str, command: str) -> None:
        shown = None
        while unfinished(counts := store.counts()):
            done = f"{sum(counts.values()) - unfinished(counts)} of {sum(counts.values())}"
            if not self.wait:
                raise WaitingForPeople(
                    f"{name} waits for people, {done} images are finished: serve them with "
                    f"`{command}`, and run this again afterwards"
                )
            if done != shown:
                logger.info(f"{name} waits for people, {done} images are finished: {command}")
                shown = done
            time.sleep(self.poll_s)

    def _command(self, phase_run: PhaseRun, weights: Path) -> str:
        """How the round is served."""
        folder = phase_run.folder.parent
        words = [
            f"phase={phase_run.stamp.phase}",
            "pool=round",
            f"pool.folder={folder}",
            f"checkpoint={weights}",
            f"round={phase_run.stamp.round}",
            f"output_dir={folder / FOLDER}",
            f"run_dir={folder.parent.parent}",
            f"annotators=[{','.join(self.annotators)}]",
        ]
        if self.review_share:
            words += [f"review_share={self.review_share}"]
        if self.reviewers:
            words += [f"reviewers=[{','.join(self.reviewers)}]"]
        return shlex.join(["python", "-m", "data_engine.serve", *words])


def check_rounds_of_people(rounds: Sequence[Round]) -> None:
    """Raises ValueError for what people cannot be asked: to go through old images again."""
    for number, turn in enumerate(rounds):
        if turn.phase in PHASES and turn.revisit:
            raise ValueError(
                f"rounds.{number}.revisit: people get new images only; set it to false, or choose "
                "annotator=simulated"
            )


def unfinished(counts: dict[str, int]) -> int:
    """The images that somebody still has to look at."""
    return counts["open"] + counts["review"]


def asked(phase_run: PhaseRun, entries: Sequence[ShardEntry], folder: Path) -> dict:
    """Where the images of a round are, from its folder."""
    root = os.path.relpath(phase_run.dataset.root, folder)
    return {"dataset": root, "shards": [asdict(entry) for entry in entries]}


def round_pool(folder: str) -> Pool:
    """The images of a round of the loop, under the keys that they have there."""
    place = Path(folder) / FOLDER
    if not (place / ASKED).exists():
        raise ValueError(
            f"{folder} is no round that waits for people: name RUN/rounds/NN-PHASE of a run with "
            "annotator=people"
        )
    content = read_json(place / ASKED)
    dataset = Dataset(place / content["dataset"])
    shards = [dataset.indexed(ShardEntry(**entry)) for entry in content["shards"]]
    return Pool.of_images(
        "round", [shard_image(shard, key) for shard in shards for key in shard.keys]
    )
