import io
import json
import resource
import tarfile
from pathlib import Path

import numpy as np
import pytest

from sam_train.data.records import Record, Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.store.shards import read_shard, write_annotations, write_shard


def record(*areas: int) -> Record:
    """A 6 x 8 image with one mask a given area."""
    masks = [np.arange(48).reshape(6, 8) < area for area in areas]
    return {
        "image": {"image_id": 7, "width": 8, "height": 6, "file_name": "sa_7.jpg"},
        "annotations": [
            annotation_from_rle(encode_mask(mask), id=index) for index, mask in enumerate(masks)
        ],
    }


def samples(count: int = 3) -> list[Sample]:
    return [Sample(f"sa_{i}", f"jpeg {i}".encode(), record(i + 1)) for i in range(count)]


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))


class Problems(list):
    """Remembers what `on_bad` was told: (shard's name, key, kind)."""

    def __call__(self, shard: str, key: str, error: Exception) -> None:
        self.append((Path(shard).name, key, type(error).__name__))


def test_what_is_written_is_read_back(tmp_path):
    stats = write_shard(tmp_path / "a.tar", samples())
    assert list(read_shard(tmp_path / "a.tar")) == samples()
    assert (stats.sample_count, stats.mask_count) == (3, 3)
    assert stats.bytes == (tmp_path / "a.tar").stat().st_size


def test_the_same_samples_give_the_same_bytes(tmp_path):
    first, second = (write_shard(tmp_path / name, samples()) for name in ("a.tar", "b.tar"))
    assert first == second


def test_pairs_lie_side_by_side_as_webdataset_expects(tmp_path):
    write_shard(tmp_path / "a.tar", samples(2))
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == ["sa_0.jpg", "sa_0.json", "sa_1.jpg", "sa_1.json"]


def test_a_layer_replaces_the_records_of_its_keys(tmp_path):
    write_shard(tmp_path / "a.tar", samples())
    stats = write_annotations(tmp_path / "layer.tar", [("sa_1", record(20, 30))])
    read = list(read_shard(tmp_path / "a.tar", tmp_path / "layer.tar"))
    assert [len(sample.record["annotations"]) for sample in read] == [1, 2, 1]
    assert (stats.sample_count, stats.mask_count) == (1, 2)


def test_an_image_shard_needs_no_json_where_the_layer_has_one(tmp_path):
    write_tar(tmp_path / "a.tar", {"sa_0.jpg": b"jpeg"})
    write_annotations(tmp_path / "layer.tar", [("sa_0", record(5))])
    (sample,) = read_shard(tmp_path / "a.tar", tmp_path / "layer.tar")
    assert sample == Sample("sa_0", b"jpeg", record(5))


def test_published_tars_are_read_as_they_are(tmp_path):
    text = json.dumps(record(5)).encode()
    write_tar(
        tmp_path / "sa_000000.tar",
        {"./sa_2.json": text, "./sa_1.jpg": b"one", "./LICENSE": b"", "./sa_2.jpg": b"two",
         "./sa_1.json": text},
    )  # fmt: skip
    read = {sample.key: sample.image_bytes for sample in read_shard(tmp_path / "sa_000000.tar")}
    assert read == {"sa_1": b"one", "sa_2": b"two"}


def test_bad_samples_are_reported_and_the_rest_is_read(tmp_path):
    text = json.dumps(record(5)).encode()
    wrong_size = json.dumps(record(5) | {"image": record()["image"] | {"width": 9}}).encode()
    members = {"a.jpg": b"", "b.json": text, "c.jpg": b"", "c.json": b"{", "d.jpg": b""}
    members |= {"d.json": wrong_size, "e.jpg": b"fine", "e.json": text}
    write_tar(tmp_path / "a.tar", members)
    problems = Problems()
    assert [sample.key for sample in read_shard(tmp_path / "a.tar", on_bad=problems)] == ["e"]
    assert sorted(problems) == [
        ("a.tar", "a", "MissingPartner"),
        ("a.tar", "b", "MissingPartner"),
        ("a.tar", "c", "InvalidRecord"),
        ("a.tar", "d", "InvalidRecord"),
    ]


def test_a_truncated_tar_gives_what_is_whole(tmp_path):
    write_shard(tmp_path / "a.tar", samples(3))
    whole = (tmp_path / "a.tar").read_bytes()
    for length in (5200, 4700, 4096 + 100):  # inside the last json, its header, the last image
        (tmp_path / "a.tar").write_bytes(whole[:length])
        problems = Problems()
        keys = [sample.key for sample in read_shard(tmp_path / "a.tar", on_bad=problems)]
        assert keys == ["sa_0", "sa_1"]
        assert ("a.tar", "", "TruncatedShard") in problems


def test_a_damaged_header_does_not_end_a_shard_silently(tmp_path):
    write_shard(tmp_path / "a.tar", samples(3))
    content = bytearray((tmp_path / "a.tar").read_bytes())
    content[2048] ^= 0xFF
    (tmp_path / "a.tar").write_bytes(content)
    problems = Problems()
    assert len(list(read_shard(tmp_path / "a.tar", on_bad=problems))) == 1
    assert problems == [("a.tar", "", "TruncatedShard")]


def test_without_on_bad_the_first_problem_is_raised(tmp_path):
    write_tar(tmp_path / "a.tar", {"a.jpg": b""})
    with pytest.raises(ValueError, match=r"a\.tar, a: There is no a\.json"):
        list(read_shard(tmp_path / "a.tar"))


def test_a_layer_of_other_images_is_reported(tmp_path):
    write_shard(tmp_path / "a.tar", samples(1))
    write_annotations(tmp_path / "layer.tar", [("sa_9", record(5))])
    problems = Problems()
    assert len(list(read_shard(tmp_path / "a.tar", tmp_path / "layer.tar", on_bad=problems))) == 1
    assert problems == [("layer.tar", "sa_9", "MissingPartner")]


def test_an_interrupted_shard_is_not_there(tmp_path):
    def interrupted():
        yield samples()[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path / "a.tar", interrupted())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="make room and run again"):
            write_shard(tmp_path / "a.tar", samples(30))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["", "a.b", "a/b"])
def test_keys_that_split_a_member_name_are_refused(tmp_path, key):
    with pytest.raises(ValueError, match="cannot name a tar member"):
        write_shard(tmp_path / "a.tar", [Sample(key, b"", record(1))])


def test_a_key_occurs_once(tmp_path):
    with pytest.raises(ValueError, match="occurs twice"):
        write_shard(tmp_path / "a.tar", samples(1) * 2)


def test_a_record_that_does_not_hold_up_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"a\.tar, sa_0: Mask 0 is empty"):
        write_shard(tmp_path / "a.tar", [Sample("sa_0", b"", record(0))])
    assert not (tmp_path / "a.tar").exists()
