from pathlib import Path

import pytest

from sam_train.data.records import Sample
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import write_shard
from sam_train.data.store.tags import pin, tagged_version, tags

RECORD = {
    "image": {"image_id": 0, "width": 8, "height": 8, "file_name": "a.jpg"},
    "annotations": [],
}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Two versions of one image."""
    shard = tmp_path / "images" / "toy-000000.tar"
    write_shard(shard, [Sample("a", b"jpeg", RECORD)])
    dataset = Dataset(tmp_path)
    entry = dataset.entry(shard, source="toy", phase="known")
    dataset.commit([entry], parent=None, phase="known", round=0)
    dataset.commit([entry], parent=1, phase="known", round=1)
    return dataset


def test_a_version_is_read_by_its_tag(dataset):
    pin(dataset.root, "paper-v1", 1)
    assert dataset.read("paper-v1") == dataset.read("1") == dataset.read(1)
    assert tags(dataset.root) == {"paper-v1": 1}


def test_a_tag_stays_unless_it_is_moved(dataset):
    pin(dataset.root, "best", 1)
    pin(dataset.root, "best", 1)
    with pytest.raises(ValueError, match="best is version 1 of .* already"):
        pin(dataset.root, "best", 2)
    assert tagged_version(dataset.root, "best") == 1
    pin(dataset.root, "best", 2, move=True)
    assert tagged_version(dataset.root, "best") == 2


@pytest.mark.parametrize("name", ["", "3", "latest", "a/b", "../a", "ä"])
def test_a_tag_cannot_be_mistaken_for_something_else(dataset, name):
    with pytest.raises(ValueError, match="is no name for a version"):
        pin(dataset.root, name, 1)


def test_an_unknown_tag_is_told_with_those_that_there_are(dataset):
    pin(dataset.root, "best", 1)
    with pytest.raises(FileNotFoundError, match=r"has no version 'worst'.*\['best'\]"):
        dataset.read("worst")


def test_a_tag_of_another_manifest_of_that_number_is_refused(dataset):
    pin(dataset.root, "best", 2)
    manifests = dataset.root / "manifests"
    (manifests / "000002.json").unlink()
    dataset.commit(dataset.read(1).shards, parent=1, phase="known", round=9)
    with pytest.raises(ValueError, match="best was pinned to another version 2"):
        dataset.read("best")


def test_a_torn_tag_is_refused(dataset):
    pin(dataset.root, "best", 1)
    (dataset.root / "tags" / "best.json").write_text('{"version"')
    with pytest.raises(ValueError, match="is no tag"):
        dataset.read("best")
