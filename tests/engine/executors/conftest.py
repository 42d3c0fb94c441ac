"""A job over a pool, and its workers."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from data_engine.annotation.annotators import NoAnnotator
from data_engine.annotation.provenance import Stamp
from data_engine.executors.executor import Executor
from data_engine.phase_run import PhaseRun
from data_engine.phases.claim import is_held, read_attempts
from data_engine.pool import Pool
from data_engine.single_phase import annotate_pool
from sam_train.data.scenes import SceneSet
from sam_train.data.sets.image_folder import ImageFolder
from sam_train.data.store.bad_samples import BadSampleLog
from sam_train.data.store.manifest import Dataset
from sam_train.modeling.checkpoint import load_model
from sam_train.modeling.sam import Sam

# How large the job is, and of what: `test_interruptions.py` says how to change it.
IMAGES = int(os.environ.get("JOB_IMAGES", "48"))
PHOTOS, MODEL = os.environ.get("JOB_PHOTOS"), os.environ.get("JOB_MODEL")


@pytest.fixture(scope="session")
def images() -> int:
    """How many images the job has."""
    return IMAGES


@pytest.fixture(scope="session")
def job(phases: dict[str, Callable[..., Any]], sam: Sam) -> Callable[[Path, Executor], None]:
    """The fully automatic phase over photographs, if there are any, and drawn scenes."""
    torch.set_num_threads(1)  # as in the workers
    sam = load_model(Path(MODEL)) if MODEL else sam

    def run(run_dir: Path, executor: Executor) -> None:
        photos = [ImageFolder("photos", PHOTOS)] if PHOTOS else []
        pool = Pool([*photos, SceneSet("scenes", IMAGES, image_size=64)], limit=IMAGES)
        phase_run = PhaseRun(
            dataset=Dataset(run_dir / "dataset"),
            folder=run_dir / "annotate",
            stamp=Stamp("fully_automatic", 0, "model", "config"),
            build_phase=phases["fully_automatic"],
            build_annotator=NoAnnotator,
            known_masks=pool.known_masks,
            executor=executor,
            on_bad=BadSampleLog(run_dir / "bad_samples.jsonl"),
        )
        annotate_pool(pool, sam, phase_run, samples=list, images_per_shard=max(4, IMAGES // 100))

    return run


@pytest.fixture
def working() -> Callable[[Path], list[int]]:
    """The ids of the processes that are at a shard of a run now."""

    def processes(run_dir: Path) -> list[int]:
        claims = (path for path in run_dir.glob("annotate/*.claim") if is_held(path))
        attempts = (read_attempts(path) for path in claims)
        return [int(made[-1].worker.split(":")[1]) for made in attempts if made]

    return processes
