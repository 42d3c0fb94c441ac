"""One phase alone on a whole pool, without the loop around it.

What SA-1B's 11 M images (1500 x 2250) cost on 256 GPUs, on paper:

- Masks: 0.5 s an image without crops (`amg_gpu` on an H100, bf16), 11 M x 0.5 s / 256 = 6 h, 512
  images a second. SA-1B's 20 crops are twice as many points more and 20 embeddings: 2 s an image by
  estimate, 24 h, 128 images a second.
- Without crops the pool is the first to choke. Readers on one machine look for twins, 31 ms of CPU
  an image; one process lists the pool and writes the shards, 3 ms: with 12 cores or more 330 images
  a second, 9 h for all. Cut the pool into 8 folders, run each with 32 workers from a node of its
  own, and join the versions (`tools.dataset merge`): the GPUs wait 70 minutes until it is read.
- Memory of that process: 1 kB an image, 11 GB for all, 1.4 GB for one of 8 parts. Workers of the
  fully automatic phase hold nothing of the pool.
- The disk that all see: 512 images a second of 1 MB are 0.5 GB/s, read once by the workers, and
  read twice and written once by the processes above.
- Shards of 1000 images take 8 minutes, 33 with crops: a killed worker loses half of one on average,
  and the last worker of a part is up to one later than the first.
"""

from collections.abc import Iterator
from pathlib import Path

from data_engine.annotation.accounting import Cost, costs
from data_engine.phase_run import PhaseRun, entry_samples
from data_engine.phases.phase import Samples
from data_engine.pool import Pool, to_sample
from data_engine.rounds import PoolShards
from sam_train.data.records import Sample
from sam_train.data.store.manifest import Dataset
from sam_train.modeling.sam import Sam


def annotate_pool(
    pool: Pool,
    sam: Sam,
    phase_run: PhaseRun,
    *,
    samples: Samples,
    images_per_shard: int,
    readers: int = 1,
) -> dict[str, int | float]:
    """Annotates every image of the pool, commits the masks, and returns what was counted.

    `readers` processes of this machine read the pool first.
    """
    dataset, stamp = phase_run.dataset, phase_run.stamp
    pool_shards = PoolShards(
        pool,
        name="pool",
        dataset_root=dataset.root,
        images_per_shard=images_per_shard,
        with_masks=False,
        on_bad=phase_run.on_bad,
        readers=readers,
    )
    if not dataset.versions():
        entries = phase_run.run(sam, pool_shards.of_turn([len(pool)], turn=0), samples)
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
