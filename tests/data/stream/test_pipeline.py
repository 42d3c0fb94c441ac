from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset

from sam_train.data.images import encode_jpeg
from sam_train.data.records import Record, Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.store.bad_samples import BadSampleLog
from sam_train.data.store.shards import write_annotations, write_shard
from sam_train.data.stream import pipeline
from sam_train.data.stream.bad_share import BadShare
from sam_train.data.stream.examples import ExampleMaker
from sam_train.data.stream.mixture import ShardFiles
from sam_train.data.stream.pipeline import TrainingImages, TrainingStream


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
    return ShardFiles(folder / f"{name}.tar", source=name)


def stream(
    shards: Sequence[ShardFiles],
    folder: Path,
    *,
    start: int = 0,
    seed: int = 0,
    max_bad_share: float = 1.0,
    **settings: Any,
) -> TrainingStream:
    return TrainingStream(
        TrainingImages(
            shards,
            ExampleMaker(image_size=32, mask_size=8, max_masks=1, flip=True, seed=seed),
            mixed_images=8,
            on_bad=BadSampleLog(folder / "bad.jsonl"),
        ),
        BadShare(max_bad_share, listed_in=folder / "bad.jsonl"),
        lambda: start,
        **{"batch_size": 2} | settings,
    )


def keys(batches: TrainingStream, count: int = 15) -> list[str]:
    return [key for batch in islice(batches, count) for key in batch["keys"]]


def test_a_stream_repeats_itself_under_its_seed_only(tmp_path):
    shards = [toy_shard(tmp_path, name) for name in "ab"]
    first, same, other = (keys(stream(shards, tmp_path, seed=s)) for s in (1, 1, 2))
    assert first == same != other


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_a_stream_goes_on_anywhere_with_any_number_of_workers(tmp_path, num_workers):
    shards = [toy_shard(tmp_path, name, images=5) for name in "abc"]
    reference = list(islice(stream(shards, tmp_path), 20))
    resumed = list(islice(stream(shards, tmp_path, start=14, num_workers=num_workers), 13))
    for expected, batch in zip(reference[7:], resumed, strict=True):
        assert batch["keys"] == expected["keys"]
        for name in ("images", "gt_masks", "object_seeds"):
            torch.testing.assert_close(batch[name], expected[name], rtol=0, atol=0)


def test_ranks_share_the_same_stream_out(tmp_path):
    shards = [toy_shard(tmp_path, name) for name in "ab"]
    whole = keys(stream(shards, tmp_path), 12)
    ranks = [keys(stream(shards, tmp_path, rank=r, world_size=3), 4) for r in range(3)]
    assert whole == [key for b in range(4) for rank in ranks for key in rank[2 * b : 2 * b + 2]]


def test_one_image_serves_more_workers_than_there_are_images(tmp_path):
    shard = toy_shard(tmp_path, "a", images=1)
    assert keys(stream([shard], tmp_path, num_workers=2), 3) == ["a0"] * 6


def test_the_masks_of_an_image_have_their_turn(tmp_path):
    batches = islice(stream([toy_shard(tmp_path, "a", images=1)], tmp_path), 10)
    assert len({seed for batch in batches for seed in batch["object_seeds"].tolist()}) == 2


def test_batches_say_where_their_images_come_from(tmp_path):
    rare, often = toy_shard(tmp_path, "a"), toy_shard(tmp_path, "b")._replace(weight=9.0)
    batches = islice(stream([rare, often._replace(phase="assisted_manual")], tmp_path), 30)
    origins = [(batch["sources"], batch["phases"]) for batch in batches]
    assert sum(sources.count("a") for sources, _ in origins) == 6
    assert sum(phases.count("assisted_manual") for _, phases in origins) == 54


def test_layers_are_read_over_their_shards(tmp_path):
    shard = toy_shard(tmp_path, "a", masks=0)
    write_annotations(tmp_path / "layer.tar", [("a3", record(1))])
    batches = stream([shard._replace(annotations=tmp_path / "layer.tar")], tmp_path)
    assert set(keys(batches)) == {"a3"}
    assert BadSampleLog(tmp_path / "bad.jsonl").counts() == {}


def test_corrupt_samples_are_listed_and_replaced(tmp_path):
    shard = toy_shard(tmp_path, "a")
    write_shard(tmp_path / "b.tar", [Sample("b0", b"no jpeg", record(1))])
    bad = ShardFiles(tmp_path / "b.tar")
    batches = list(islice(stream([shard, bad], tmp_path, num_workers=1), 14))
    assert {key[0] for batch in batches for key in batch["keys"]} == {"a"}
    assert sum(batch["bad_count"] for batch in batches) >= 4
    assert BadSampleLog(tmp_path / "bad.jsonl").counts() == {"UnreadableImage": 1}


def test_a_tar_that_ends_too_early_gives_what_it_has(tmp_path):
    shard = toy_shard(tmp_path, "a")
    whole = shard.images.read_bytes()
    shard.images.write_bytes(whole[: len(whole) // 2])
    for index in tmp_path.glob("*.npz"):
        index.unlink()
    seen = set(keys(stream([shard], tmp_path)))
    assert 0 < len(seen) < 6
    assert "TruncatedShard" in BadSampleLog(tmp_path / "bad.jsonl").counts()


def test_too_many_bad_samples_end_the_run(tmp_path):
    write_shard(tmp_path / "b.tar", [Sample(f"b{i}", b"no jpeg", record(1)) for i in range(3)])
    shards = [toy_shard(tmp_path, "a"), ShardFiles(tmp_path / "b.tar")]
    with pytest.raises(ValueError, match="images drawn cannot be used, more than max_bad_share"):
        keys(stream(shards, tmp_path, max_bad_share=0.1, num_workers=2), 1000)
    assert len(keys(stream(shards, tmp_path, max_bad_share=0.6), 60)) == 120


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_stream_without_any_use_ends_in_one_sentence(tmp_path, monkeypatch, num_workers):
    monkeypatch.setattr(pipeline, "PATIENCE", 20)
    write_shard(tmp_path / "a.tar", [Sample("a0", b"no jpeg", record(1))])
    useless = stream([ShardFiles(tmp_path / "a.tar")], tmp_path, num_workers=num_workers)
    with pytest.raises(ValueError, match="^20 images in a row were of no use; the last was a"):
        next(iter(useless))


def test_shards_without_any_mask_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no image with a mask"):
        stream([toy_shard(tmp_path, "a", masks=0)], tmp_path)


def test_a_shard_that_vanishes_is_named(tmp_path):
    shard = toy_shard(tmp_path, "a")
    batches = stream([shard], tmp_path, num_workers=1)
    shard.images.unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.tar"):
        next(iter(batches))


def test_webdataset_reads_what_the_stream_reads(tmp_path):
    shard = toy_shard(tmp_path, "a")
    samples = webdataset.WebDataset(str(shard.images), shardshuffle=False).decode()
    theirs = {sample["__key__"]: sample["json"] for sample in samples}
    assert set(theirs) == set(keys(stream([shard], tmp_path)))
    assert theirs["a0"] == record(2)
