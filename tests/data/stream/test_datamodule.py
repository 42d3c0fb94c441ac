import logging
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer

from sam_train.data.images import encode_jpeg
from sam_train.data.records import Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import write_shard
from sam_train.data.stream.datamodule import SamDataModule
from sam_train.data.stream.examples import ExampleMaker
from sam_train.data.stream.mixture import Mixture


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two shards of four images, one known and one of the first phase."""
    root = tmp_path / "dataset"
    jpeg = encode_jpeg(np.full((32, 32, 3), 90, np.uint8))
    annotations = [annotation_from_rle(encode_mask(np.eye(32, dtype=bool)), id=0)]
    info = {"image_id": 0, "width": 32, "height": 32, "file_name": "toy.jpg"}
    entries = []
    for phase in ("known", "assisted_manual"):
        path = root / "images" / f"{phase}-000000.tar"
        record = {"image": info, "annotations": annotations}
        write_shard(path, [Sample(f"{phase}{i}", jpeg, record) for i in range(4)])
        entries.append(Dataset(root).entry(path, source="toy", phase=phase))
    Dataset(root).commit(entries, parent=None, phase="known", round=0)
    return root


def data(dataset: Path, **settings: Any) -> SamDataModule:
    return SamDataModule(
        dataset,
        make_example=ExampleMaker(image_size=32, mask_size=8),
        bad_samples=dataset.parent / "bad.jsonl",
        **{"batch_size": 2} | settings,
    )


def test_batches_come_without_a_trainer_and_without_workers(dataset):
    module = data(dataset)
    module.setup("fit")
    batch = next(iter(module.train_dataloader()))
    assert batch["images"].shape == (2, 3, 32, 32)
    assert module.manifest.version == 1


def test_a_batch_may_be_larger_than_the_dataset(dataset):
    module = data(dataset, batch_size=12)
    module.setup("fit")
    keys = next(iter(module.train_dataloader()))["keys"]
    assert (len(keys), len(set(keys[:8]))) == (12, 8)


def test_phases_can_be_weighted_away(dataset):
    module = data(dataset, mixture=Mixture(phase_weights={"known": 0}))
    module.setup("fit")
    batches = islice(module.train_dataloader(), 10)
    assert {key[:-1] for batch in batches for key in batch["keys"]} == {"assisted_manual"}


class Counting(LightningModule):
    """Remembers the keys it was given; learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.keys: list[str] = []

    def training_step(self, batch: dict) -> torch.Tensor:
        self.keys += batch["keys"]
        return self.weight * batch["gt_masks"].sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(model: Counting, data: SamDataModule, folder: Path, **settings: Any) -> Trainer:
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder,
        **{"enable_checkpointing": False} | settings,
    )  # fmt: skip
    ckpt_path = settings.get("enable_checkpointing") and folder / "last.ckpt"
    trainer.fit(model, datamodule=data, ckpt_path=ckpt_path or None, weights_only=True)
    return trainer


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_trainer_takes_as_many_steps_as_it_is_told(dataset, num_workers, tmp_path):
    model = Counting()
    trainer = train(model, data(dataset, num_workers=num_workers), tmp_path, max_steps=7)
    assert trainer.global_step == 7
    assert len(model.keys) == 14


@pytest.mark.filterwarnings("ignore")
def test_the_next_epoch_of_a_trainer_goes_on_with_the_stream(dataset, tmp_path):
    whole, cut = Counting(), Counting()
    train(whole, data(dataset), tmp_path, max_steps=9)
    train(cut, data(dataset), tmp_path, max_steps=9, limit_train_batches=4)
    assert cut.keys == whole.keys


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_may_have_another_batch_size(dataset, tmp_path):
    whole, first, rest = Counting(), Counting(), Counting()
    train(whole, data(dataset), tmp_path, max_steps=8)
    trainer = train(first, data(dataset), tmp_path, max_steps=2)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    resumed = data(dataset, batch_size=3, num_workers=1)
    train(rest, resumed, tmp_path, max_steps=6, enable_checkpointing=True)
    assert first.keys + rest.keys == whole.keys
    assert resumed.state_dict() == {"version": 1, "step": 6, "position": 16}


def test_a_resumed_run_keeps_the_version_that_it_began_with(dataset):
    state = {"version": 1, "step": 3, "position": 6}
    version = Dataset(dataset).read()
    Dataset(dataset).commit(version.shards[:1], parent=1, phase="known", round=1)
    latest = data(dataset)
    latest.setup("fit")
    latest.load_state_dict(state)
    assert latest.manifest.version == 1
    with pytest.raises(ValueError, match="began with version 1 .* resume it with version=1"):
        data(dataset, version=2).load_state_dict(state)


def test_one_line_says_how_shards_ranks_and_workers_meet(dataset, caplog):
    module = data(dataset, mixture=Mixture(phase_weights={"assisted_manual": 3}))
    module.setup("fit")
    with caplog.at_level(logging.INFO):
        module.train_dataloader()
    (line,) = caplog.messages
    assert "8 images with masks in 2 shards, 16 an epoch as weighted; 1 ranks x 1 loaders" in line
    assert "an epoch is 8.0 steps of 2; begins at image 0" in line


def test_what_cannot_work_is_said_before_the_first_step(dataset):
    for settings, sentence in [
        ({"mixture": Mixture(phase_weights={"automatic": 1})}, "no phase 'automatic'"),
        ({"version": 9}, "has no version 9"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match=sentence):
            data(dataset, **settings).setup("fit")
    with pytest.raises(FileNotFoundError, match="is no dataset"):
        data(dataset / "nowhere").setup("fit")
    (dataset / "images" / "known-000000.tar").unlink()
    with pytest.raises(ValueError, match="is missing"):
        data(dataset).setup("fit")


@pytest.mark.parametrize("name", ["batch_size", "num_workers"])
def test_numbers_that_make_no_sense_are_refused(dataset, name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least"):
        data(dataset, **{name: -1})
