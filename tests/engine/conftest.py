"""A tiny random model, drawn scenes and a run folder that has everything but a real training."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from data_engine.annotation.annotators import SimulatedAnnotator
from data_engine.annotation.provenance import Stamp
from data_engine.annotation.task import TaskPredictor
from data_engine.engine import Engine
from data_engine.executors.local import LocalExecutor
from data_engine.phases.assisted_manual import AssistedManual
from data_engine.phases.fully_automatic import FullyAutomatic
from data_engine.phases.object_detector import DetectorTraining
from data_engine.phases.semi_automatic import SemiAutomatic
from data_engine.pool import Pool
from data_engine.retraining import Retraining
from data_engine.rounds import Round
from sam_train.data.scenes import SceneSet
from sam_train.inference.automatic_mask_generator import SamAutomaticMaskGenerator
from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.checkpoint import save_model
from sam_train.modeling.sam import Sam

TINY: dict[str, Any] = {"image_size": 64, "dim": 32}


def save_unchanged(sam: Sam, *, output_dir: Path, **_: Any) -> None:
    """The smallest training: none."""
    save_model(sam, output_dir / "model.safetensors", model="tiny", config=TINY)


def made_up_numbers(sam: Sam, *, output_dir: Path, origin: dict[str, Any]) -> dict[str, Any]:
    """The smallest evaluation: none."""
    return {"mean": {"iou_at_1": 0.1, "iou_at_3": 0.2, "iou_at_5": 0.3}, "sets": {}, **origin}


@pytest.fixture(scope="session")
def sam() -> Sam:
    torch.manual_seed(1)  # not all random weights give masks that are not empty
    return build_sam_tiny(**TINY)


@pytest.fixture
def stamp() -> Stamp:
    return Stamp("assisted_manual", 1, "model", "config")


@pytest.fixture
def predictor(sam: Sam) -> TaskPredictor:
    return TaskPredictor(sam)


def scene_pool(count: int, seed: int = 0) -> Pool:
    return Pool([SceneSet("scenes", count, seed=seed, image_size=64)])


def small_phases() -> dict[str, Callable[..., Any]]:
    """All three phases; the untrained model's masks pass their thresholds."""
    generator = partial(
        SamAutomaticMaskGenerator,
        points_per_side=3,
        pred_iou_thresh=-10.0,
        stability_score_thresh=0.0,
        output_mode="coco_rle",
    )
    return {
        "assisted_manual": AssistedManual,
        "semi_automatic": partial(
            SemiAutomatic,
            detector_training=DetectorTraining(max_images=4, max_steps=2, batch_size=2),
            box_score_thresh=0.0,
            pred_iou_thresh=-10.0,
            stability_score_thresh=0.0,
        ),
        "fully_automatic": partial(FullyAutomatic, generator=generator),
    }


@pytest.fixture(scope="session")
def engine() -> Callable[..., Engine]:
    return small_engine


@pytest.fixture(scope="session")
def phases() -> dict[str, Callable[..., Any]]:
    return small_phases()


def small_engine(run_dir: Path, **changes: Any) -> Engine:
    """Four rounds on two images each, without training."""
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "command.txt").write_text("test")
    parts: dict[str, Any] = {
        "rounds": [
            Round("known", images=2, max_steps=1),
            Round("assisted_manual", images=2, max_steps=1),
            Round("semi_automatic", images=2, max_steps=1),
            Round("fully_automatic", images=2, max_steps=1, revisit=True),
        ],
        "bootstrap": scene_pool(2, seed=500),
        "pool": scene_pool(6),
        "phases": small_phases(),
        "annotator": partial(SimulatedAnnotator, max_clicks=2, seconds_per_mask_limit=1e9),
        "executor": LocalExecutor(),
        "retrain": Retraining(partial(build_sam_tiny, **TINY), save_unchanged),
        "evaluate": made_up_numbers,
        "config_sha256": "config",
        "images_per_shard": 2,
    }
    return Engine(run_dir, **parts | changes)
