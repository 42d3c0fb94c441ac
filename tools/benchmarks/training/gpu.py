"""Encoder and training throughput of ViT-B, L and H on one GPU, at 1024 pixels.

The encoder embeds batches of 8 images. A training step is the paper's: one image, 64 masks, 11
rounds, backward, AdamW; L and H recompute the encoder's activations. Its images are 1500 x 2250
JPEGs with 100 masks, loaded by a process per core; `wait` is the share of the time that the GPU
waits for them. Memory is the peak of what torch allocates. The whole takes under 10 minutes: what
cannot begin in time is said to be left out.
"""

import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sam_train.data.records import Sample, parse_record
from sam_train.data.store.shards import write_shard
from sam_train.data.stream.collate import Batch
from sam_train.data.stream.datamodule import SamDataModule
from sam_train.data.stream.examples import ExampleMaker
from sam_train.interaction.annotator import TrainingAnnotator
from sam_train.modeling.build import sam_model_registry
from sam_train.modeling.sam import Sam
from sam_train.training.losses import MaskLoss
from sam_train.training.optim import Optimization
from sam_train.training.sam_module import SamModule
from sam_train.training.scale.acceleration import Acceleration
from tools.benchmarks.drawing.drawn_photo import photo_files
from tools.dataset_versions.create import create

SIDE, GRID, MASKS, BATCH = 1024, 256, 64, 8
IMAGES = 64  # in the drawn shard
MODELS = ("vit_h", "vit_l", "vit_b")
LIMIT_S = 480  # after which no row begins
MEASURED_S = 8  # of each row and part


@dataclass(frozen=True)
class Mode:
    """How numbers are represented, and whether encoder and decoder are compiled."""

    name: str
    is_bf16: bool
    is_compiled: bool

    def autocast(self, device: torch.device) -> AbstractContextManager:
        return torch.autocast(device.type, torch.bfloat16, enabled=self.is_bf16)


MODES = (
    Mode("bf16, compiled", is_bf16=True, is_compiled=True),
    Mode("bf16", is_bf16=True, is_compiled=False),
    Mode("fp32", is_bf16=False, is_compiled=False),
)


@dataclass(frozen=True)
class Speed:
    """Images per second, the peak memory in GiB, and the share of the time without data."""

    images_per_s: float
    peak_gib: float
    wait: float = 0.0


def main() -> None:
    """Prints the table, best mode and largest model first."""
    device, start = torch.device("cuda"), time.monotonic()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {os.cpu_count()} cores")
    print(f"{'':22} {'encoder/s':>10} {'GiB':>6} {'training/s':>11} {'GiB':>6} {'wait':>6}")
    with tempfile.TemporaryDirectory() as folder:
        loaded = batches(draw_dataset(Path(folder)), workers=max((os.cpu_count() or 2) - 1, 1))
        for mode, model in itertools.product(MODES, MODELS):
            name = f"{model}, {mode.name}"
            if time.monotonic() - start > LIMIT_S:
                print(f"{name:22} left out: {LIMIT_S} s are over", flush=True)
                continue
            print(f"{name:22} {row(model, mode, device, loaded)}", flush=True)


def row(model: str, mode: Mode, device: torch.device, loaded: Iterator[Batch]) -> str:
    """A line of the table, with `-` for what does not fit into the GPU's memory."""
    sam = sam_model_registry[model](image_size=SIDE)
    Acceleration(
        compile_encoder=mode.is_compiled,
        compile_decoder=mode.is_compiled,
        checkpoint_encoder=model != "vit_b",
    ).apply(sam.to(device))
    encoder = or_none(lambda: encoder_speed(sam, mode, device))
    training = or_none(lambda: training_speed(sam, mode, device, loaded))
    columns = [f"{encoder.images_per_s:10.1f} {encoder.peak_gib:6.1f}" if encoder else f"{'-':>10}"]
    if training:
        columns.append(f"{training.images_per_s:11.2f} {training.peak_gib:6.1f}")
        columns.append(f"{training.wait:6.1%}")
    return " ".join(columns)


def or_none(measure: Callable[[], Speed]) -> Speed | None:
    """What is measured, or None where it does not fit into the GPU's memory."""
    try:
        return measure()
    except torch.cuda.OutOfMemoryError:
        return None


def encoder_speed(sam: Sam, mode: Mode, device: torch.device) -> Speed:
    """Embeds batches of images without gradients."""
    sam.eval()
    images = torch.randn(BATCH, 3, sam.image_size, sam.image_size, device=device)

    def encode() -> float:
        with torch.no_grad(), mode.autocast(device):
            sam.image_encoder(images)
        return 0.0

    return speed(encode, device, images=BATCH)


def training_speed(sam: Sam, mode: Mode, device: torch.device, loaded: Iterator[Batch]) -> Speed:
    """Whole optimiser steps on loaded images."""
    optimization = Optimization(
        partial(torch.optim.AdamW, fused=device.type == "cuda"),
        lambda progress: 1.0,
        lr=1e-5,
        weight_decay=0.1,
    )
    module = SamModule(
        sam.train(), annotator=TrainingAnnotator(), loss=MaskLoss(), optimization=optimization
    )
    module.to(device)
    optimizer = optimization.build(sam)

    def step() -> float:
        start = time.monotonic()
        batch = on_device(next(loaded), device)
        waited = time.monotonic() - start
        optimizer.zero_grad()
        with mode.autocast(device):
            module.interact(batch)
        optimizer.step()
        return waited

    return speed(step, device, images=1)


def speed(work: Callable[[], float], device: torch.device, *, images: int) -> Speed:
    """Runs work that returns what it waited: twice unmeasured, then for some seconds."""
    work(), work()
    synchronize(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start, waited, runs = time.monotonic(), 0.0, 0
    while runs < 2 or time.monotonic() - start < MEASURED_S:
        waited += work()
        synchronize(device)
        runs += 1
    seconds = time.monotonic() - start
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
    return Speed(images * runs / seconds, peak, waited / seconds)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def on_device(batch: Batch, device: torch.device) -> Batch:
    moved: Any = {
        name: part.to(device, non_blocking=True) if torch.is_tensor(part) else part
        for name, part in batch.items()
    }
    return moved


def draw_dataset(root: Path) -> Path:
    """A dataset of one shard, in which one drawn photo is repeated."""
    jpeg, text = photo_files(100)
    record = parse_record(text)
    samples = (
        Sample(
            f"sa_{number}",
            jpeg,
            record | {"image": record["image"] | {"file_name": f"sa_{number}.jpg"}},
        )
        for number in range(IMAGES)
    )
    write_shard(root / "tars" / "sa_000000.tar", samples)
    create(root / "dataset", [root / "tars"], source="drawn", phase="known")
    return root / "dataset"


def batches(dataset: Path, *, workers: int) -> Iterator[Batch]:
    """An endless stream of single images, loaded as a training run loads them."""
    data = SamDataModule(
        dataset,
        make_example=ExampleMaker(image_size=SIDE, mask_size=GRID, max_masks=MASKS),
        bad_samples=dataset / "bad.jsonl",
        batch_size=1,
        num_workers=workers,
    )
    data.setup()
    return iter(data.train_dataloader())
