"""The stream of a run that was interrupted is that of one that was not.

Run as a program (`python test_resume.py DATASET FOLDER WORKERS`) this file is a real training of
20 steps, which the slow test kills.
"""

import json
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from sam_train.data.images import encode_jpeg
from sam_train.data.records import Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import write_shard
from sam_train.data.stream.datamodule import SamDataModule
from sam_train.data.stream.examples import ExampleMaker
from sam_train.interaction.annotator import TrainingAnnotator
from sam_train.modeling.build import build_sam_tiny
from sam_train.training.fit import Fit
from sam_train.training.losses import MaskLoss
from sam_train.training.optim import CosineSchedule, Optimization
from sam_train.training.safety.checkpoints import Checkpoints
from sam_train.training.sam_module import SamModule

STEPS = 20

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's hints


class StreamLog(Callback):
    """Writes what each step was given: keys, objects, pixels."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(exist_ok=True)

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        line = {
            "step": trainer.global_step,
            "keys": batch["keys"],
            "object_seeds": batch["object_seeds"].tolist(),
            "pixels": int(batch["images"].sum()),
        }
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def read_log(path: Path) -> list[dict]:
    """The steps; without the last one if the process died while it wrote it."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def train(dataset: Path, folder: Path, *, num_workers: int, max_steps: int = STEPS) -> None:
    """Trains, or goes on from the last checkpoint, which is made every second step."""
    optimization = Optimization(
        partial(torch.optim.AdamW),
        CosineSchedule(warmup=10, final=0.01),
        lr=1e-3,
        weight_decay=0.0,
        gradient_clip=1.0,
    )
    Fit(
        module=partial(
            SamModule,
            annotator=TrainingAnnotator(num_corrections=0, rounds_without_point=0),
            loss=MaskLoss(focal_weight=1.0, iou_loss_on="all"),
            optimization=optimization,
        ),
        data=partial(
            SamDataModule,
            make_example=ExampleMaker(
                image_size=64, mask_size=16, max_masks=2, flip=True, scale_range=(0.5, 2.0)
            ),
            batch_size=3,
            num_workers=num_workers,
        ),
        trainer=partial(
            Trainer, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False
        ),
        callbacks={"log": StreamLog(folder / "stream.jsonl")},
        checkpoints=Checkpoints(every_n_steps=2),
        loggers={},
    )(
        build_sam_tiny(image_size=64, dim=32),
        dataset_root=dataset,
        version="latest",
        output_dir=folder,
        max_steps=max_steps,
        seed=0,
        from_scratch=False,
    )


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three shards of 4 to 7 grey images with three masks each; one image is damaged."""
    root = tmp_path / "dataset"
    masks = [np.pad(np.ones((24, 24), bool), ((at, 40 - at), (at, 40 - at))) for at in (0, 16, 40)]
    record = {
        "image": {"image_id": 0, "width": 64, "height": 64, "file_name": "toy.jpg"},
        "annotations": [annotation_from_rle(encode_mask(m), id=i) for i, m in enumerate(masks)],
    }
    entries = []
    for shard, count in enumerate((4, 7, 5)):
        jpegs = [encode_jpeg(np.full((64, 64, 3), 20 * i + shard, np.uint8)) for i in range(count)]
        jpegs[0] = b"no jpeg" if shard == 1 else jpegs[0]
        path = root / "images" / f"toy-{shard:06d}.tar"
        write_shard(path, [Sample(f"{shard}-{i}", jpeg, record) for i, jpeg in enumerate(jpegs)])
        entries.append(Dataset(root).entry(path, source="toy", phase="known"))
    Dataset(root).commit(entries, parent=None, phase="known", round=0)
    return root


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_a_run_that_stops_between_checkpoints_sees_what_it_would_have_seen(
    dataset: Path, tmp_path: Path, num_workers: int
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(dataset, whole, num_workers=0, max_steps=5)
    train(dataset, cut, num_workers=num_workers, max_steps=3)
    (cut / "model.safetensors").unlink()
    train(dataset, cut, num_workers=num_workers, max_steps=5)
    reference = read_log(whole / "stream.jsonl")
    assert [line["step"] for line in reference] == [1, 2, 3, 4, 5]
    # The third step came after the last checkpoint: it is made again.
    assert read_log(cut / "stream.jsonl") == reference[:3] + reference[2:]


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_sees_what_it_would_have_seen(
    dataset: Path, tmp_path: Path
) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    rng, kills = random.Random(0), 0
    log, goal = killed / "stream.jsonl", 0
    while not (killed / "model.safetensors").exists():
        goal = len(read_log(log)) + rng.randint(4, 9)
        run = subprocess.Popen([sys.executable, __file__, dataset, killed, str(kills % 3)])
        while run.poll() is None and len(read_log(log)) < goal:
            time.sleep(rng.uniform(0.02, 0.2))
        if run.poll() is None:
            run.send_signal(signal.SIGKILL)
            kills += 1
        assert run.wait() in (0, -signal.SIGKILL)
    train(dataset, whole, num_workers=0)
    reference = {line["step"]: line for line in read_log(whole / "stream.jsonl")}
    seen = read_log(log)
    assert kills >= 2
    assert {line["step"] for line in seen} == set(range(1, STEPS + 1))
    assert all(line == reference[line["step"]] for line in seen)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(Path(sys.argv[1]), Path(sys.argv[2]), num_workers=int(sys.argv[3]))
