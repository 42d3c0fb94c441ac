"""A batch of drawn shapes and a small module, for the tests of this folder."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor

from sam_train.data.stream.collate import Batch, Example, collate
from sam_train.interaction.annotator import TrainingAnnotator
from sam_train.modeling.build import assemble, build_sam_tiny
from sam_train.modeling.image_encoder.vit import ImageEncoderViT
from sam_train.modeling.sam import Sam
from sam_train.training.losses import MaskLoss
from sam_train.training.optim import CosineSchedule, Optimization
from sam_train.training.sam_module import SamModule

IMAGE_SIZE, MASK_SIZE = 64, 16


def draw_rectangles(count: int) -> Tensor:
    low = torch.randint(0, 10, (count, 2, 1))
    high = low + torch.randint(2, 6, (count, 2, 1))
    line = torch.arange(MASK_SIZE)
    rows, columns = ((low <= line) & (line <= high)).unbind(1)
    return rows[:, :, None] & columns[:, None]


def draw_example(key: str, masks: int) -> Example:
    """An image in which each rectangle has its own colour."""
    gt_masks = draw_rectangles(masks)
    image = torch.full((3, IMAGE_SIZE, IMAGE_SIZE), 60, dtype=torch.uint8)
    fine = gt_masks.repeat_interleave(4, 1).repeat_interleave(4, 2)
    for mask in fine:
        image[:, mask] = torch.randint(100, 256, (3, 1), dtype=torch.uint8)
    return {
        "key": key,
        "image": image,
        "input_size": (IMAGE_SIZE, IMAGE_SIZE),
        "original_size": (IMAGE_SIZE, IMAGE_SIZE),
        "gt_masks": gt_masks,
        "object_seeds": torch.randint(-(2**62), 2**62, (masks,)),
    }


@pytest.fixture
def batch() -> Batch:
    """Two images with one mask each."""
    return collate([draw_example("first", 1), draw_example("second", 1)])


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """Makes a batch from the numbers of masks of its images."""
    return lambda *counts: collate([draw_example(str(n), count) for n, count in enumerate(counts)])


@pytest.fixture
def vit() -> Sam:
    """A model with a small ViT: no batch norm, so no image depends on another."""
    encoder = ImageEncoderViT(64, 32, depth=2, num_heads=2, global_attn_indexes=(1,), out_chans=16)
    return assemble(encoder, dim=16, depth=1, num_heads=2, mlp_dim=32, dropout=0.0)


@pytest.fixture
def make_module() -> Callable[..., SamModule]:
    """Makes the module of a small model; three rounds of points unless told otherwise."""

    def make(
        annotator: dict[str, Any] | None = None, *, lr: float = 1e-3, **settings: Any
    ) -> SamModule:
        rounds = {"num_corrections": 2, "rounds_without_point": 0} | (annotator or {})
        return SamModule(
            build_sam_tiny(image_size=IMAGE_SIZE, dim=64),
            annotator=TrainingAnnotator(**rounds),
            loss=settings.pop("loss", None) or MaskLoss(focal_weight=1.0, iou_loss_on="all"),
            optimization=Optimization(
                partial(torch.optim.AdamW),
                CosineSchedule(warmup=10, final=0.01),
                lr=lr,
                weight_decay=0.0,
                gradient_clip=1.0,
            ),
            **{"affinity_weight": 0.0} | settings,
        )

    return make


@pytest.fixture
def make_trainer() -> Callable[..., Trainer]:
    """Makes a quiet trainer on the CPU."""
    return partial(
        Trainer,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
