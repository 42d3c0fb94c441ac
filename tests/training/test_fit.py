import csv
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import nn

from sam_train.data.images import encode_jpeg
from sam_train.data.records import Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import write_shard
from sam_train.data.stream.datamodule import SamDataModule
from sam_train.data.stream.examples import ExampleMaker
from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.checkpoint import load_model
from sam_train.modeling.sam import Sam
from sam_train.training.fit import Fit
from sam_train.training.safety.checkpoints import Checkpoints
from sam_train.training.safety.sealed_files import newest_checkpoint
from sam_train.training.sam_module import SamModule

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's hints


class PowerCut(Callback):
    """Ends a run in the middle."""

    def on_train_batch_end(self, trainer: Trainer, *rest: Any) -> None:
        if trainer.global_step == 3:
            raise OSError("power cut")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """One shard of four images with one disc each."""
    root = tmp_path / "dataset"
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    disc = ((x - 30).square() + (y - 24).square() < 200).numpy()
    annotations = [annotation_from_rle(encode_mask(disc), id=0)]
    info = {"image_id": 0, "width": 64, "height": 64, "file_name": "disc.jpg"}
    jpeg = encode_jpeg((disc[..., None] * [[[200, 80, 40]]]).astype("uint8"))
    record = {"image": info, "annotations": annotations}
    path = root / "images" / "discs-000000.tar"
    write_shard(path, [Sample(f"disc{i}", jpeg, record) for i in range(4)])
    entry = Dataset(root).entry(path, source="discs", phase="known")
    Dataset(root).commit([entry], parent=None, phase="known", round=0)
    return root


def small_sam() -> Sam:
    return build_sam_tiny(image_size=64, dim=32)


@pytest.fixture
def run(dataset: Path, tmp_path: Path, make_module: Callable[..., SamModule]) -> Callable:
    """Runs six steps in `tmp_path/run`."""

    def module(sam: Sam) -> SamModule:
        made = make_module()
        made.sam = sam
        return made

    def fit(
        sam: Sam,
        *,
        callback: Callback | None = None,
        warm_start: Callable[[Sam], None] | None = None,
        from_scratch: bool = True,
        continued_lr_scale: float = 1.0,
    ) -> Path:
        Fit(
            module=module,
            data=partial(
                SamDataModule,
                make_example=ExampleMaker(image_size=64, mask_size=16),
                batch_size=2,
            ),
            trainer=partial(
                Trainer,
                accelerator="cpu",
                devices=1,
                log_every_n_steps=1,
                enable_progress_bar=False,
                enable_model_summary=False,
            ),
            callbacks={"other": callback} if callback else {},
            checkpoints=Checkpoints(every_n_steps=2),
            loggers={"csv": partial(CSVLogger, name="", version="")},
            warm_start=warm_start,
            continued_lr_scale=continued_lr_scale,
        )(
            sam,
            dataset_root=dataset,
            version="latest",
            output_dir=tmp_path / "run",
            max_steps=6,
            seed=0,
            from_scratch=from_scratch,
        )
        return tmp_path / "run"

    return fit


def logged_steps(metrics: Path) -> list[int]:
    with metrics.open() as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def assert_same_weights(a: nn.Module, b: nn.Module) -> None:
    torch.testing.assert_close(a.state_dict(), b.state_dict(), rtol=0, atol=0)


def test_a_run_leaves_weights_that_load_and_metrics(run) -> None:
    sam = small_sam()
    folder = run(sam)
    assert_same_weights(load_model(folder / "model.safetensors"), sam)
    assert not sam.training
    assert len(logged_steps(folder / "metrics.csv")) == 6


def test_a_finished_run_returns_at_once(run) -> None:
    folder = run(small_sam())
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    sam, untouched = small_sam(), small_sam()
    untouched.load_state_dict(sam.state_dict())
    run(sam)
    assert_same_weights(sam, untouched)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_an_interrupted_run_goes_on_from_its_last_checkpoint(run, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="power cut"):
        run(small_sam(), callback=PowerCut())
    folder = tmp_path / "run"
    assert not (folder / "model.safetensors").exists()
    assert torch.load(newest_checkpoint(folder))["global_step"] == 2
    run(small_sam())
    assert (folder / "model.safetensors").exists()
    assert len(logged_steps(folder / "metrics.csv")) == 4  # steps 3 to 6
    assert (folder / "metrics-0.csv").exists()


def test_only_a_model_from_random_weights_gets_a_warm_start(run, tmp_path: Path) -> None:
    started: list[Sam] = []
    run(small_sam(), warm_start=started.append, from_scratch=False)
    assert started == []


def test_only_a_model_that_goes_on_is_trained_at_the_lower_rate(run, tmp_path: Path) -> None:
    rates = {}
    for from_scratch in (True, False):
        folder = run(small_sam(), from_scratch=from_scratch, continued_lr_scale=0.5)
        with (folder / "metrics.csv").open() as file:
            rates[from_scratch] = [float(row["train/lr"]) for row in csv.DictReader(file)]
        shutil.rmtree(folder)
    assert rates[False] == [rate * 0.5 for rate in rates[True]]


def test_a_resumed_run_gets_no_second_warm_start(run) -> None:
    started: list[Sam] = []
    with pytest.raises(OSError, match="power cut"):
        run(small_sam(), callback=PowerCut(), warm_start=started.append)
    run(small_sam(), warm_start=started.append)
    assert len(started) == 1


def test_a_dataset_without_a_version_is_told_before_the_warm_start(run, dataset: Path) -> None:
    started: list[Sam] = []
    for manifest in (dataset / "manifests").iterdir():
        manifest.unlink()
    with pytest.raises((ValueError, OSError), match="is no dataset"):
        run(small_sam(), warm_start=started.append)
    assert started == []
