import io
import json
import tarfile
from pathlib import Path

import pytest

from sam_train.data.records import Record, Sample
from sam_train.data.store.locations import location
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shard_index import (
    ChecksumMismatch,
    MissingPartner,
    build_index,
    current_index,
    current_masks,
    ensure_index,
    index_path,
    save_index,
)
from sam_train.data.store.shards import IndexedShard, read_shard, write_annotations, write_shard

MASK = {"segmentation": {"size": [2, 2], "counts": "04"}, "bbox": [0, 0, 2, 2], "area": 4}


def record(masks: int) -> Record:
    annotation = MASK | {
        "predicted_iou": 1.0, "stability_score": 1.0, "crop_box": [0, 0, 2, 2], "point_coords": []
    }  # fmt: skip
    return {
        "image": {"image_id": 1, "width": 2, "height": 2, "file_name": "a.jpg"},
        "annotations": [annotation | {"id": id} for id in range(masks)],
    }


def samples(*masks: int) -> list[Sample]:
    """One image for each number of masks."""
    return [Sample(f"sa_{n}", f"jpeg {n}".encode(), record(count)) for n, count in enumerate(masks)]


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return path


class Problems(list):
    """Remembers what `on_bad` was told: (key, kind)."""

    def __call__(self, shard: str, key: str, error: Exception) -> None:
        self.append((key, type(error).__name__))


def test_the_index_that_is_written_with_a_shard_is_the_one_that_reading_builds(tmp_path):
    tar = tmp_path / "a.tar"
    stats = write_shard(tar, samples(1, 0, 5))
    written, built = current_index(tar), build_index(tar)
    assert written.keys == built.keys == ("sa_0", "sa_1", "sa_2")
    assert (written.rows == built.rows).all()
    assert written.sha256 == built.sha256 == stats.sha256
    assert written.size == built.size == stats.bytes == tar.stat().st_size
    assert written.masks() == {"sa_0": 1, "sa_1": 0, "sa_2": 5}


def test_a_saved_index_is_not_built_again(tmp_path):
    tar = tmp_path / "a.tar"
    write_shard(tar, samples(1))
    before = index_path(tar).stat().st_mtime_ns
    assert ensure_index(tar).keys == ("sa_0",)
    assert index_path(tar).stat().st_mtime_ns == before


@pytest.mark.parametrize("content", [None, b"", b"half of an ind", b"PK\x03\x04" + bytes(500)])
def test_an_index_that_is_lost_or_damaged_is_built_again(tmp_path, content):
    tar = tmp_path / "a.tar"
    write_shard(tar, samples(1, 2))
    index_path(tar).unlink()
    if content is not None:
        index_path(tar).write_bytes(content)
    assert current_index(tar) is None
    assert sum(ensure_index(tar).masks().values()) == 3
    assert current_index(tar) is not None


def test_the_index_of_another_file_is_not_used(tmp_path):
    tar = tmp_path / "a.tar"
    write_shard(tar, samples(1))
    old = ensure_index(tar)
    write_shard(tar, samples(*[1] * 20))
    save_index(old, tar)
    assert current_index(tar) is None


def test_published_tars_are_indexed_as_they_are(tmp_path):
    text = json.dumps(record(2)).encode()
    tar = write_tar(
        tmp_path / "sa_000000.tar",
        {"./sa_2.json": text, "./sa_1.jpg": b"one", "./sa_3.jpg": b"three", "./LICENSE": b"free",
         "./sa_2.jpg": b"two", "./sa_1.json": text, "./sa_4.json": b"\xff\xfe{", "./sa_4.jpg": b""},
    )  # fmt: skip
    problems = Problems()
    index = build_index(tar, problems)
    assert index.keys == ("sa_2", "sa_1", "sa_3", "sa_4")
    assert index.masks() == {"sa_2": 2, "sa_1": 2, "sa_3": 0, "sa_4": 0}
    assert problems == [("sa_4", "InvalidRecord"), ("sa_3", "MissingPartner")]
    assert index.read(tar, "sa_1", "image") == b"one"
    assert index.read(tar, "sa_2", "record") == text


def test_a_cut_tar_is_indexed_as_far_as_it_is_whole(tmp_path):
    tar = tmp_path / "a.tar"
    write_shard(tar, samples(1, 1, 1))
    tar.write_bytes(tar.read_bytes()[:4096])
    problems = Problems()
    assert build_index(tar, problems).keys == ("sa_0", "sa_1")
    assert problems == [("", "TruncatedShard")]


@pytest.mark.parametrize("ids", [[1, 1], [1, "1"], [[1]]])
def test_masks_without_an_id_of_their_own_are_reported(tmp_path, ids):
    text = json.dumps(record(0) | {"annotations": [MASK | {"id": id} for id in ids]}).encode()
    tar, problems = write_tar(tmp_path / "a.tar", {"a.jpg": b"", "a.json": text}), Problems()
    assert list(read_shard(tar, on_bad=problems)) == []
    build_index(tar, problems)
    assert problems == [("a", "InvalidRecord")] * 2


def test_samples_are_read_by_key_with_the_masks_of_the_layer(tmp_path):
    write_shard(tmp_path / "a.tar", samples(1, 2, 3))
    write_annotations(tmp_path / "layer.tar", [("sa_1", record(4))])
    shard = IndexedShard(tmp_path / "a.tar", tmp_path / "layer.tar", skip=["sa_2"])
    assert shard.keys == ["sa_0", "sa_1"] and len(shard) == 2 and "sa_2" not in shard
    assert shard.mask_counts() == {"sa_0": 1, "sa_1": 4}
    streamed = read_shard(tmp_path / "a.tar", tmp_path / "layer.tar", skip=["sa_2"])
    assert [shard[key] for key in shard.keys] == list(streamed)
    for read in (shard.__getitem__, shard.record, shard.image_bytes):
        with pytest.raises(KeyError, match="has no image sa_2"):
            read("sa_2")


def test_a_record_is_read_without_its_image_and_an_image_without_its_record(tmp_path):
    tar = write_tar(
        tmp_path / "a.tar", {"a.jpg": b"jpeg", "a.json": json.dumps(record(2)).encode()}
    )
    shard = IndexedShard(tar)
    sound = tar.read_bytes()
    tar.write_bytes(sound.replace(b"jpeg", b"JPEG"))
    assert shard.record("a") == record(2)
    tar.write_bytes(sound.replace(b"annotations", b"Annotations"))
    assert shard.image_bytes("a") == b"jpeg"


def test_changed_bytes_and_missing_parts_are_told_when_they_are_read(tmp_path):
    tar = write_tar(tmp_path / "a.tar", {"a.jpg": b"jpeg"})
    shard = IndexedShard(tar)
    tar.write_bytes(tar.read_bytes().replace(b"jpeg", b"JPEG"))
    with pytest.raises(ChecksumMismatch, match="The image of a has changed"):
        shard["a"]
    tar.write_bytes(tar.read_bytes().replace(b"JPEG", b"jpeg"))
    with pytest.raises(MissingPartner, match=r"a\.tar has no record of a"):
        shard["a"]


def test_masks_are_those_of_the_layer_or_those_beside_the_image(tmp_path):
    write_shard(tmp_path / "a.tar", samples(1, 2))
    write_annotations(tmp_path / "layer.tar", [("sa_1", record(4)), ("other", record(1))])
    indexes = ensure_index(tmp_path / "a.tar"), ensure_index(tmp_path / "layer.tar")
    assert current_masks(*indexes) == {"sa_0": 1, "sa_1": 4}


def test_a_dataset_behind_a_url_is_read_and_verified_but_not_written(tmp_path):
    write_shard(tmp_path / "images" / "a.tar", samples(1, 2))
    local = Dataset(tmp_path)
    entry = local.entry(tmp_path / "images" / "a.tar", source="toy", phase="known")
    local.commit([entry], parent=None, phase="known", round=0)
    remote = Dataset(location(f"memory://{tmp_path.name}"))
    for path in (p for p in tmp_path.rglob("*") if p.is_file()):
        copy = remote.root / path.relative_to(tmp_path).as_posix()
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())

    manifest = remote.read()
    assert manifest == local.read()
    remote.verify(manifest, hashes=True)
    assert list(remote.samples(entry)) == samples(1, 2)
    assert IndexedShard(remote.root / entry.images)["sa_1"] == samples(1, 2)[1]
    with pytest.raises(ValueError, match="can only be read"):
        remote.commit([entry], parent=1, phase="known", round=0)
