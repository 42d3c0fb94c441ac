"""One phase on one shard: the unit of work, of failure and of progress."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from data_engine.annotation.task import Annotated, Task
from data_engine.executors.failures import FINAL
from data_engine.executors.worker_process import do_alone
from data_engine.phases.claim import Claim, claimed, ending, worker_name
from data_engine.phases.phase import Phase
from data_engine.run_folder import read_json, write_json
from sam_train.data.images import check_recorded_size, read_image
from sam_train.data.records import Annotation, BadSample, Record, Sample
from sam_train.data.store.bad_samples import OnBad, pass_over
from sam_train.data.store.shards import read_shard, write_annotations
from sam_train.modeling.sam import Sam

TRIES = 3  # of an image in a process of its own, which may be killed from outside, too
DEADLY_IN_A_ROW = 3  # images; so many are not what ends the processes


class DeadlyImage(BadSample):
    """An image that ends every process that works on it."""


@dataclass(frozen=True)
class ShardJob:
    """The images of a shard, their current layer (none yet: None), and what is to be written."""

    images: Path
    current: Path | None
    layer: Path
    stats: Path

    @property
    def done(self) -> bool:
        """Whether the shard is finished: its stats file is written last."""
        return self.stats.exists()

    @property
    def claim(self) -> Path:
        """The journal of its attempts, until it is finished."""
        return self.stats.with_name(f"{self.images.stem}.claim")


@dataclass(frozen=True)
class ShardWork:
    """What a worker does with each shard, in whichever process it finds itself."""

    sam: Sam  # the phase's
    phase: Phase
    on_bad: OnBad

    def __call__(self, job: ShardJob) -> dict:
        self.sam.to("cuda" if torch.cuda.is_available() else "cpu")
        return annotate_shard(job, self.phase, self.on_bad)


def annotate_shard(job: ShardJob, phase: Phase, on_bad: OnBad) -> dict:
    """Annotates every image of one shard, writes the layer, then the stats, and returns these.

    One worker at a time has the shard; one that was finished meanwhile is not redone, one that
    was interrupted is, from its start. An image that cannot be read, or whose known masks
    cannot, or that ends its processes, goes to `on_bad` and stays in the layer with the masks
    that it had.
    """
    with claimed(job.claim) as claim:
        if job.done:
            return read_json(job.stats)
        started, counts = time.monotonic(), Counter[str](images=0, masks=0, bad=0)
        records = annotated_records(job, phase, on_bad, claim=claim, counts=counts)
        written = write_annotations(job.layer, records)
        seconds = round(time.monotonic() - started, 3)
        stats = {"sha256": written.sha256, **counts, "worker": worker_name(), "seconds": seconds}
        write_json(job.stats, stats)
        return stats


def annotated_records(
    job: ShardJob, phase: Phase, on_bad: OnBad, *, claim: Claim, counts: Counter[str]
) -> Iterator[tuple[str, Record]]:
    """The key and the new record of every image of a shard; counts on the way.

    Images that could not be used are listed when the shard is through: where several in a row end
    their processes, it is the machine that does, and an OSError ends the run.
    """
    current, bad, deadly = current_annotations(job), [], 0
    for sample in read_shard(job.images, on_bad=on_bad):
        annotations = current.get(sample.key, [])
        try:
            suspect = claim.begin(sample.key, masks=counts["masks"])
            annotated = (annotated_alone if suspect else annotate)(phase, sample, annotations)
        except (ValueError, OSError) as error:
            bad.append((sample.key, error))
            deadly = deadly + 1 if isinstance(error, DeadlyImage) else 0
            require_few(deadly, error)
        else:
            deadly = 0
            annotations = annotated.annotations
            counts.update(annotated.counts)
        counts["images"] += 1
        counts["masks"] += len(annotations)
        yield sample.key, {"image": sample.record["image"], "annotations": annotations}
    counts["bad"] = len(bad)
    for key, error in bad:
        on_bad(str(job.images), key, error)


def require_few(deadly: int, error: Exception) -> None:
    """Raises an OSError where so many images in a row cannot be the reason."""
    if deadly == DEADLY_IN_A_ROW:
        raise OSError(
            f"{deadly} images in a row could not be used, of the last {error}; this is the "
            "machine, perhaps its memory: lower executor.workers and run the same command again"
        ) from error


def annotate(phase: Phase, sample: Sample, current: list[Annotation]) -> Annotated:
    """Annotates an image; one of another size than its record is unreadable."""
    image = read_image(sample.image_bytes)
    check_recorded_size(image.shape[:2], sample.record["image"])
    return phase.annotate(Task(sample.key, image, current))


def annotated_alone(phase: Phase, sample: Sample, current: list[Annotation]) -> Annotated:
    """Annotates an image at which a worker was killed or failed, in a process of its own.

    The worker may have been killed from outside, or have lost its GPU: only what the image does
    to processes that have nothing else to do tells against it.
    """
    for _ in range(TRIES):
        try:
            return do_alone(partial(annotate, phase, sample), current)
        except FINAL:
            raise
        except Exception as error:
            last = error
    raise DeadlyImage(f"it ended {TRIES} processes of its own ({ending(last)})") from last


def current_annotations(job: ShardJob) -> dict[str, list[Annotation]]:
    """The masks that the dataset has for each key of the shard."""
    if job.current is None:
        return {}
    samples = read_shard(job.images, job.current, on_bad=pass_over)
    return {sample.key: sample.record["annotations"] for sample in samples}
