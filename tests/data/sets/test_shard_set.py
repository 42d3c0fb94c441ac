from pathlib import Path

import numpy as np
import pytest

from sam_train.data.records import Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.sets.shard_set import ShardSet
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import IndexedShard, write_annotations, write_shard

HEIGHT, WIDTH = 20, 30


def test_a_dataset_version_is_a_set_with_its_current_masks(
    tmp_path: Path, save, block, masks_of
) -> None:
    save(tmp_path / "a.jpg")
    image_bytes = (tmp_path / "a.jpg").read_bytes()
    info = {"image_id": 1, "width": WIDTH, "height": HEIGHT, "file_name": "a.jpg"}
    first = annotation_from_rle(encode_mask(block(0, 0)), id=1)
    second = annotation_from_rle(encode_mask(block(9, 9)), id=2)
    shard, layer = tmp_path / "images/s-000000.tar", tmp_path / "annotations/01/s-000000.tar"
    write_shard(shard, [Sample("a", image_bytes, {"image": info, "annotations": [first]})])
    write_annotations(layer, [("a", {"image": info, "annotations": [first, second]})])
    dataset = Dataset(tmp_path)
    for annotations in (None, layer):
        entry = dataset.entry(shard, annotations, source="test", phase="known")
        dataset.commit([entry], parent=None, phase="known", round=0)

    masks = [masks_of(ShardSet("d", tmp_path, version=version))["a"] for version in (1, 2)]

    assert np.array_equal(masks[0], [block(0, 0)])
    assert np.array_equal(masks[1], [block(0, 0), block(9, 9)])
    (image,) = ShardSet("d", tmp_path)
    assert image.encoded is not None and image.encoded() == image_bytes
    assert image.load().shape == (HEIGHT, WIDTH, 3)


def test_an_image_of_another_size_than_its_record_is_told_when_it_is_loaded(
    tmp_path: Path, save
) -> None:
    save(tmp_path / "a.jpg")
    info = {"image_id": 1, "width": WIDTH + 1, "height": HEIGHT, "file_name": "a.jpg"}
    sample = Sample("a", (tmp_path / "a.jpg").read_bytes(), {"image": info, "annotations": []})
    write_shard(tmp_path / "images/s-000000.tar", [sample])
    entry = Dataset(tmp_path).entry(tmp_path / "images/s-000000.tar", source="t", phase="known")
    Dataset(tmp_path).commit([entry], parent=None, phase="known", round=0)
    (image,) = ShardSet("d", tmp_path)

    with pytest.raises(ValueError, match="30 x 20 pixels, its record says 31 x 20"):
        image.load()


def test_a_truncated_shard_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.tar").write_bytes(b"\0" * 100)

    with pytest.raises(ValueError, match=r"cut\.tar, the whole file: Not a"):
        IndexedShard(tmp_path / "cut.tar")
