"""One phase alone on a whole pool, without the loop around it."""

from collections.abc import Iterator
from pathlib import Path

from data_engine.annotation.accounting import Cost, costs
from data_engine.phase_run import PhaseRun, entry_samples
from data_engine.phases.phase import Samples
from data_engine.pool import Pool, to_sample
from data_engine.rounds import Images
from sam_train.data.records import Sample
from sam_train.data.store.manifest import Dataset
from sam_train.modeling.sam import Sam


def annotate_pool(
    pool: Pool, sam: Sam, phase_run: PhaseRun, *, samples: Samples, images_per_shard: int
) -> dict[str, int | float]:
    """Annotates every image of the pool, commits the masks, and returns what was counted."""
    dataset, stamp = phase_run.dataset, phase_run.stamp
    images = Images(
        pool,
        name="pool",
        dataset_root=dataset.root,
        images_per_shard=images_per_shard,
        with_masks=False,
        on_bad=phase_run.on_bad,
    )
    if not dataset.versions():
        entries = phase_run.run(sam, images.shards([len(pool)], turn=0), samples)
        dataset.commit(
            entries,
            parent=None,
            phase=stamp.phase,
            round=stamp.round,
            model_sha256=stamp.model_sha256,
            config_sha256=stamp.config_sha256,
        )
    manifest = dataset.read("latest")
    records = (sample.record for sample in entry_samples(dataset.root, manifest.shards))
    cost = costs(records).get((stamp.phase, stamp.round), Cost(stamp.phase, stamp.round))
    return {
        "images": sum(entry.image_count for entry in manifest.shards),
        "masks": sum(entry.mask_count for entry in manifest.shards),
        **cost.per_mask(),
    }


def pool_samples(pool: Pool) -> Iterator[Sample]:
    """The images of a pool with the masks that came with them."""
    for image_id, image in enumerate(pool):
        yield to_sample(image, image_id=image_id, with_masks=True)


def dataset_samples(root: Path) -> Iterator[Sample]:
    """The images of a dataset's latest version with their masks."""
    return entry_samples(root, Dataset(root).read("latest").shards)
