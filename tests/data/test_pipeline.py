from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from sam_train.data import pipeline
from sam_train.data.bad_samples import BadSampleLog
from sam_train.data.collate import collate
from sam_train.data.examples import ExampleMaker
from sam_train.data.images import encode_jpeg
from sam_train.data.pipeline import ShardFiles, training_pipeline
from sam_train.data.records import Record, Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.shards import write_annotations, write_shard


def record(masks: int) -> Record:
    mask = np.zeros((32, 32), bool)
    mask[4:20, 8:28] = True
    return {
        "image": {"image_id": 0, "width": 32, "height": 32, "file_name": "toy.jpg"},
        "annotations": [annotation_from_rle(encode_mask(mask), id=i) for i in range(masks)],
    }


def toy_shard(folder: Path, name: str, *, images: int = 6, masks: int = 2) -> ShardFiles:
    jpeg = encode_jpeg(np.full((32, 32, 3), 90, np.uint8))
    samples = [Sample(f"{name}{i}", jpeg, record(masks)) for i in range(images)]
    write_shard(folder / f"{name}.tar", samples)
    return ShardFiles(folder / f"{name}.tar")


def stream(
    shards: Sequence[ShardFiles], log: Path, *, seed: Sequence[int] = (0,), shuffle_buffer: int = 4
) -> pipeline.wds.DataPipeline:
    return training_pipeline(
        shards,
        ExampleMaker(image_size=32, mask_size=8, max_masks=1),
        shuffle_buffer=shuffle_buffer,
        on_bad=BadSampleLog(log / "bad.jsonl"),
        seed=seed,
    )


def keys(examples, count: int = 30) -> list[str]:
    return [example["key"] for example in islice(examples, count)]


def test_a_stream_repeats_itself_under_its_seed_only(tmp_path):
    shards = [toy_shard(tmp_path, name) for name in "ab"]
    first, same, other = (keys(stream(shards, tmp_path, seed=(s,))) for s in (1, 1, 2))
    assert first == same != other


def test_a_single_shard_is_seen_whole_in_every_pass(tmp_path):
    shard = toy_shard(tmp_path, "a")
    seen = keys(stream([shard], tmp_path, shuffle_buffer=1), 12)
    assert seen == [f"a{i}" for i in range(6)] * 2


def test_ranks_that_share_one_shard_see_it_in_other_orders(tmp_path):
    shard = toy_shard(tmp_path, "a")
    assert keys(stream([shard], tmp_path, seed=(0, 0))) != keys(
        stream([shard], tmp_path, seed=(0, 1))
    )


def test_the_next_epoch_is_not_the_last_one_again(tmp_path):
    examples = stream([toy_shard(tmp_path, "a")], tmp_path)
    assert keys(examples) != keys(examples)


def test_each_visit_draws_other_masks(tmp_path):
    examples = islice(stream([toy_shard(tmp_path, "a", images=1)], tmp_path), 20)
    assert len({example["object_seeds"].item() for example in examples}) == 2


def test_weights_say_how_often_a_shard_is_drawn(tmp_path):
    rare, often = toy_shard(tmp_path, "a"), toy_shard(tmp_path, "b")._replace(weight=9.0)
    seen = keys(stream([rare, often], tmp_path), 600)
    assert 0.02 < np.mean([key.startswith("a") for key in seen]) < 0.3


def test_layers_are_read_over_their_shards(tmp_path):
    shard = toy_shard(tmp_path, "a", masks=0)
    write_annotations(tmp_path / "layer.tar", [("a3", record(1))])
    examples = stream([shard._replace(annotations=tmp_path / "layer.tar")], tmp_path)
    assert set(keys(examples)) == {"a3"}
    assert BadSampleLog(tmp_path / "bad.jsonl").counts() == {"NoObjects": 5}


def test_corrupt_samples_are_listed_and_the_rest_goes_on(tmp_path):
    shard = toy_shard(tmp_path, "a")
    write_shard(tmp_path / "b.tar", [Sample("b0", b"no jpeg", record(1))])
    seen = keys(stream([shard, ShardFiles(tmp_path / "b.tar")], tmp_path), 60)
    assert {key[0] for key in seen} == {"a"}
    assert BadSampleLog(tmp_path / "bad.jsonl").counts() == {"UnreadableImage": 1}


def test_a_stream_without_any_use_ends_in_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "PATIENCE", 20)
    with pytest.raises(ValueError, match="20 images in a row were of no use"):
        next(iter(stream([toy_shard(tmp_path, "a", masks=0)], tmp_path)))
    with pytest.raises(ValueError, match="20 shards in a row had no sample"):
        next(iter(stream([toy_shard(tmp_path, "a", images=0)], tmp_path)))


def test_loader_workers_draw_differently_from_fewer_shards_than_workers(tmp_path):
    loader = DataLoader(
        stream([toy_shard(tmp_path, "a")], tmp_path),
        batch_size=2, num_workers=2, collate_fn=collate, multiprocessing_context="fork",
    )  # fmt: skip
    batches = [batch["keys"] for batch in islice(loader, 12)]
    assert batches[0::2] != batches[1::2]
