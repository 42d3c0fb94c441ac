"""A skipped step of a distillation is played again as one of the interactive training is."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sam_train.data.store.embeddings import EmbeddingCache
from sam_train.data.store.manifest import Dataset
from sam_train.data.stream.datamodule import SamDataModule
from sam_train.data.stream.examples import ExampleMaker
from sam_train.interaction.annotator import TrainingAnnotator
from sam_train.modeling.sam import Sam
from sam_train.training.distillation.encoder import EncoderDistillation
from sam_train.training.distillation.prompts import PromptDistillation
from sam_train.training.losses import MaskLoss
from sam_train.training.optim import Optimization
from sam_train.training.safety.replay import replay
from sam_train.training.step import StepModule
from tools.replay_step import lines_of


@pytest.fixture
def parts(teacher: Sam, embeddings: EmbeddingCache, optimization: Optimization) -> dict[str, Any]:
    return {"teacher": teacher, "embeddings": embeddings, "optimization": optimization}


@pytest.fixture
def data(dataset: Dataset, tmp_path: Path) -> SamDataModule:
    return SamDataModule(
        dataset.root,
        make_example=ExampleMaker(image_size=64, mask_size=16, max_masks=2),
        bad_samples=tmp_path / "bad.jsonl",
        batch_size=2,
    )


def skipped_step(module: StepModule, data: SamDataModule, folder: Path) -> Path:
    """What a rank leaves of a step whose weights were broken."""
    module.sam.image_encoder.neck[1].weight.data.fill_(torch.nan)
    torch.save({"state_dict": module.state_dict()}, folder / "step.ckpt")
    data.setup()
    keys = data.train_dataloader().images[range(2)]["keys"]
    given = {"step": 3, "rank": 0, "keys": keys, "positions": [0, 2], "weights": "step.ckpt"}
    (folder / "step.json").write_text(json.dumps(given))
    return folder / "step.json"


def test_a_round_names_the_losses_that_it_has(
    student: Sam, parts: dict[str, Any], data: SamDataModule, tmp_path: Path
) -> None:
    annotator = TrainingAnnotator(num_corrections=0, rounds_without_point=0)
    module = PromptDistillation(
        student, annotator=annotator, loss=MaskLoss(), affinity_weight=0.0, **parts
    )
    file = skipped_step(module, data, tmp_path)

    lines = lines_of(replay(file, module, data, precision="32-true"))

    assert lines[1].startswith("round 1: loss nan, bce nan, dice nan")
    assert any(line.startswith("object 0 of image ") for line in lines)


def test_a_step_without_prompts_names_the_gradients_that_are_not_finite(
    student: Sam, parts: dict[str, Any], data: SamDataModule, tmp_path: Path
) -> None:
    module = EncoderDistillation(student, **parts)
    file = skipped_step(module, data, tmp_path)

    lines = lines_of(replay(file, module, data, precision="32-true"))

    assert "0 rounds" in lines[0]
    assert lines[1].startswith("gradients that are not finite: image_encoder.")
