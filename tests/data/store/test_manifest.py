import json
import resource
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from sam_train.data.records import Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.store.manifest import Dataset, Manifest
from sam_train.data.store.shards import write_annotations, write_shard
from sam_train.origin import code_version

RECORD = {
    "image": {"image_id": 0, "width": 8, "height": 8, "file_name": "a.jpg"},
    "annotations": [annotation_from_rle(encode_mask(np.ones((8, 8), bool)), id=0)],
}


class LateDataset(Dataset):
    """Looked for versions before another process committed the first."""

    def versions(self) -> list[int]:
        return []


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """A shard of one image, in no version yet."""
    write_shard(tmp_path / "images" / "toy-000000.tar", [Sample("a", b"jpeg", RECORD)])
    return Dataset(tmp_path)


def commit(dataset: Dataset, layer: Path | None = None) -> Manifest:
    images = dataset.root / "images" / "toy-000000.tar"
    entry = dataset.entry(images, layer, source="toy", phase="known")
    parent = dataset.versions()[-1] if dataset.versions() else None
    return dataset.commit([entry], parent=parent, phase="known", round=0, model_sha256="ab")


def test_a_version_is_read_as_it_was_committed(dataset):
    manifest = commit(dataset)
    assert (manifest.version, manifest.parent, manifest.model_sha256) == (1, None, "ab")
    assert manifest.code_version == code_version()
    assert dataset.read("latest") == dataset.read(1) == manifest
    (entry,) = manifest.shards
    assert (entry.images, entry.image_count, entry.mask_count) == ("images/toy-000000.tar", 1, 1)


def test_a_layer_makes_a_new_version_and_leaves_the_old_one(dataset):
    first = commit(dataset)
    layer = dataset.root / "annotations" / "01-assisted_manual" / "toy-000000.tar"
    write_annotations(layer, [("a", RECORD | {"annotations": []})])
    second = commit(dataset, layer)
    assert (second.version, second.parent) == (2, 1)
    assert second.shards[0].annotations == "annotations/01-assisted_manual/toy-000000.tar"
    assert second.shards[0].mask_count == 0
    assert second.shards[0].images_sha256 == first.shards[0].images_sha256
    assert dataset.read(1) == first


def test_published_tars_may_be_linked_into_a_dataset(dataset, tmp_path_factory):
    published = tmp_path_factory.mktemp("sa1b") / "sa_000000.tar"
    images = dataset.root / "images" / "sa_000000.tar"
    write_shard(published, [Sample("sa_1", b"jpeg", RECORD)])
    images.symlink_to(published)
    entry = dataset.entry(images, source="sa1b", phase="fully_automatic")
    dataset.commit([entry], parent=None, phase="fully_automatic", round=0)
    dataset.verify(dataset.read(), hashes=True)


def test_an_existing_version_is_never_overwritten(dataset):
    first = commit(dataset)
    with pytest.raises(ValueError, match="from another process meanwhile"):
        LateDataset(dataset.root).commit(first.shards, parent=None, phase="known", round=0)
    assert dataset.read() == first
    assert len(list((dataset.root / "manifests").iterdir())) == 1


def test_a_parent_must_exist(dataset):
    entry = dataset.entry(dataset.root / "images/toy-000000.tar", source="toy", phase="known")
    with pytest.raises(ValueError, match="no version 7 to be the parent"):
        dataset.commit([entry], parent=7, phase="known", round=0)


def test_a_version_edited_by_hand_is_refused(dataset):
    commit(dataset)
    path = dataset.root / "manifests" / "000001.json"
    path.write_text(path.read_text().replace('"mask_count": 1', '"mask_count": 2'))
    with pytest.raises(ValueError, match="was changed after it was written"):
        dataset.read()


def test_a_version_under_another_number_is_refused(dataset):
    commit(dataset)
    folder = dataset.root / "manifests"
    (folder / "000002.json").write_bytes((folder / "000001.json").read_bytes())
    with pytest.raises(ValueError, match="was changed after it was written"):
        dataset.read()


@pytest.mark.parametrize("text", ["", '{"version": 1', "[]", "{}", json.dumps({"sha256": "x"})])
def test_a_torn_manifest_is_refused(dataset, text):
    commit(dataset)
    (dataset.root / "manifests" / "000001.json").write_text(text)
    with pytest.raises(ValueError, match="is no manifest"):
        dataset.read()


def test_a_folder_that_is_no_dataset_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no dataset"):
        Dataset(tmp_path / "nowhere").read()


def test_a_missing_version_is_named(dataset):
    commit(dataset)
    with pytest.raises(FileNotFoundError, match=r"has no version 5, only \[1\]"):
        dataset.read(5)


def test_missing_cut_and_changed_shards_are_found(dataset):
    manifest = commit(dataset)
    path = dataset.root / "images" / "toy-000000.tar"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"jpeg", b"JPEG"))
    dataset.verify(manifest)
    with pytest.raises(ValueError, match="is not the file that its version was made of"):
        dataset.verify(manifest, hashes=True)
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match="is not the file that its version was made of"):
        dataset.verify(manifest)
    path.unlink()
    with pytest.raises(ValueError, match=r"toy-000000\.tar is missing"):
        dataset.verify(manifest)


def test_a_version_needs_shards(dataset):
    with pytest.raises(ValueError, match="no shards"):
        dataset.commit([], parent=None, phase="known", round=0)


def test_files_beside_the_manifests_are_no_versions(dataset):
    commit(dataset)
    for name in ("7.json", "000001 (copy).json", "00000²2.json"):
        (dataset.root / "manifests" / name).write_text("{}")

    assert dataset.versions() == [1]


def test_versions_of_processes_at_once_are_all_there_or_refused(dataset):
    """Each process commits five versions; whoever comes second hears so and changes nothing."""
    first = commit(dataset)

    def work(results) -> None:
        for _ in range(5):
            try:
                manifest = dataset.commit(first.shards, parent=1, phase="known", round=0)
                results.put(manifest.version)
            except ValueError as error:
                assert "from another process meanwhile" in str(error)
                results.put(None)

    fork = get_context("fork")
    results = fork.Queue()
    processes = [fork.Process(target=work, args=(results,)) for _ in range(4)]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=60) for _ in range(20)]
    for process in processes:
        process.join()
    committed = sorted(version for version in outcomes if version is not None)
    assert dataset.versions() == [1, *committed] == list(range(1, len(committed) + 2))
    assert [dataset.read(version).version for version in committed] == committed
    assert len(list((dataset.root / "manifests").iterdir())) == len(committed) + 1


def test_a_full_disk_leaves_the_old_versions(dataset):
    first = commit(dataset)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match=r"000002\.json could not be written.*make room"):
            dataset.commit(first.shards, parent=1, phase="known", round=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (dataset.root / "manifests").iterdir()] == ["000001.json"]
    assert dataset.read() == first


def test_excluded_images_are_not_read(dataset):
    entry = replace(commit(dataset).shards[0], excluded=["a"])
    dataset.commit([entry], parent=1, phase="known", round=0)
    (read,) = dataset.read(2).shards
    assert read == entry and read.excluded == ("a",)
    assert list(dataset.samples(read)) == dataset.indexed(read).keys == []
    assert len(list(dataset.samples(dataset.read(1).shards[0]))) == 1
