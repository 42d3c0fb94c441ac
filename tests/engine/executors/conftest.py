"""A job over a pool, and its workers."""

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
from sam_train.data.store.bad_samples import BadSampleLog
from sam_train.data.store.manifest import Dataset
from sam_train.modeling.sam import Sam


@pytest.fixture
def job(phases: dict[str, Callable[..., Any]], sam: Sam) -> Callable[[Path, Executor], None]:
    """The fully automatic phase over 48 drawn scenes in 12 shards."""
    torch.set_num_threads(1)  # as in the workers

    def run(run_dir: Path, executor: Executor) -> None:
        pool = Pool([SceneSet("scenes", 48, image_size=64)])
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
        annotate_pool(pool, sam, phase_run, samples=list, images_per_shard=4)

    return run


@pytest.fixture
def working() -> Callable[[Path], list[int]]:
    """The ids of the processes that are at a shard of a run now."""

    def processes(run_dir: Path) -> list[int]:
        claims = (path for path in run_dir.glob("annotate/*.claim") if is_held(path))
        attempts = (read_attempts(path) for path in claims)
        return [int(made[-1].worker.split(":")[1]) for made in attempts if made]

    return processes
