"""A teacher, a smaller student, and a dataset that the teacher has looked at."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_engine.pool import to_sample
from sam_train.data.scenes import SceneSet
from sam_train.data.store.bad_samples import refuse
from sam_train.data.store.embeddings import EmbeddingCache
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import write_shard
from sam_train.data.stream.collate import Batch, collate
from sam_train.data.stream.examples import ExampleMaker
from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.sam import Sam
from sam_train.training.distillation.teacher_embeddings import embed_version
from sam_train.training.optim import CosineSchedule, Optimization

SIDE, SHARDS, PER_SHARD = 64, 2, 2


@pytest.fixture
def teacher() -> Sam:
    torch.manual_seed(0)
    return build_sam_tiny(image_size=SIDE, dim=32)


@pytest.fixture
def student() -> Sam:
    torch.manual_seed(1)
    return build_sam_tiny(image_size=SIDE, dim=32, channels=(8, 16, 32, 64))


@pytest.fixture
def optimization() -> Optimization:
    return Optimization(
        partial(torch.optim.AdamW), CosineSchedule(warmup=0), lr=1e-3, weight_decay=0.0
    )


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Two shards of two drawn scenes each."""
    made, images = Dataset(tmp_path / "dataset"), list(SceneSet("scenes", 4, image_size=SIDE))
    entries = []
    for number in range(SHARDS):
        path = tmp_path / "dataset" / "images" / f"scenes-{number:06d}.tar"
        mine = images[number * PER_SHARD : (number + 1) * PER_SHARD]
        write_shard(path, [to_sample(image, image_id=1, with_masks=True) for image in mine])
        entries.append(made.entry(path, source="scenes", phase="known"))
    made.commit(entries, parent=None, phase="known", round=0)
    return made


@pytest.fixture
def batch(dataset: Dataset) -> Batch:
    """All images of the dataset with some of their masks."""
    make_example = ExampleMaker(image_size=SIDE, mask_size=SIDE // 4, max_masks=4)
    samples = [s for entry in dataset.read().shards for s in dataset.samples(entry)]
    return collate([make_example(sample, np.random.default_rng(0)) for sample in samples])


@pytest.fixture
def embed(dataset: Dataset, teacher: Sam, tmp_path: Path) -> Any:
    """Lets the teacher look at the dataset; what differs from that can be said."""

    def run(sam: Sam = teacher) -> int:
        return embed_version(
            sam,
            dataset,
            dataset.read(),
            tmp_path / "embeddings",
            batch_size=3,
            on_bad=refuse,
        )

    return run


@pytest.fixture
def embeddings(embed: Any, tmp_path: Path) -> EmbeddingCache:
    embed()
    return EmbeddingCache(tmp_path / "embeddings")


@pytest.fixture
def stretched(teacher: Sam, embed: Any, tmp_path: Path) -> EmbeddingCache:
    """The embeddings of images that the teacher saw stretched."""
    teacher.keeps_aspect = False
    embed()
    return EmbeddingCache(tmp_path / "embeddings")
