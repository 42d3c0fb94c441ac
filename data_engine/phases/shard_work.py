"""One phase on one shard: the unit of work, of failure and of progress."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_engine.annotation.task import Task
from data_engine.phases.phase import Phase
from data_engine.run_folder import write_json
from sam_train.data.images import check_recorded_size, read_image
from sam_train.data.records import Annotation, Record, Sample
from sam_train.data.store.shards import OnBad, read_shard, write_annotations


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


def annotate_shard(job: ShardJob, phase: Phase, on_bad: OnBad) -> dict:
    """Annotates every image of one shard and writes the layer, then the stats.

    A shard that is interrupted is redone from its start. An image that cannot be read, or
    whose known masks cannot, goes to `on_bad` and stays in the layer with the masks that it had.
    """
    counts: Counter[str] = Counter()

    def records() -> Iterator[tuple[str, Record]]:
        current = current_annotations(job)
        for sample in read_shard(job.images, on_bad=on_bad):
            annotations = current.get(sample.key, [])
            try:
                annotated = phase.annotate(task_of(sample, annotations))
            except (ValueError, OSError) as error:
                counts["bad"] += 1
                on_bad(str(job.images), sample.key, error)
            else:
                annotations = annotated.annotations
                counts.update(annotated.counts)
            counts["images"] += 1
            counts["masks"] += len(annotations)
            yield sample.key, {"image": sample.record["image"], "annotations": annotations}

    written = write_annotations(job.layer, records())
    stats = {"sha256": written.sha256, "images": 0, "masks": 0, "bad": 0, **counts}
    write_json(job.stats, stats)
    return stats


def task_of(sample: Sample, current: list[Annotation]) -> Task:
    """The task of a sample; an image of another size than its record is unreadable."""
    image = read_image(sample.image_bytes)
    check_recorded_size(image.shape[:2], sample.record["image"])
    return Task(sample.key, image, current)


def current_annotations(job: ShardJob) -> dict[str, list[Annotation]]:
    """The masks that the dataset has for each key of the shard."""
    if job.current is None:
        return {}
    samples = read_shard(job.images, job.current, on_bad=pass_over)
    return {sample.key: sample.record["annotations"] for sample in samples}


def pass_over(shard: str, key: str, error: Exception) -> None:
    """For readers of shards whose bad samples are listed by another."""
