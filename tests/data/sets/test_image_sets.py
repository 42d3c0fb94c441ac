from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from sam_train.data.records import Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.scenes import SceneSet
from sam_train.data.sets.bsds_set import BsdsSet
from sam_train.data.sets.image_folder import ImageFolder
from sam_train.data.sets.known_masks import OrphanMask
from sam_train.data.sets.shard_set import ShardSet
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import IndexedShard, write_annotations, write_shard

HEIGHT, WIDTH = 20, 30


# Folders and keys


def test_keys_are_unique_and_safe_as_file_names(tmp_path: Path, save) -> None:
    names = [
        "a/b.jpg",
        "a-b.jpg",
        "a-b.png",
        "my photo (1).v2.jpg",
        "été.jpg",
        "日本.jpg",
        "x" * 150,
    ]
    for name in names:
        save(tmp_path / (name if "." in name else f"{name}.jpg"))
    save(tmp_path / ".thumbnails/a.jpg")
    (tmp_path / "notes.txt").write_text("no image")

    images = list(ImageFolder("photos", tmp_path))

    keys = [image.key for image in images]
    assert len(set(keys)) == len(keys) == len(names)
    assert all(key.replace("-", "").replace("_", "").isalnum() and key.isascii() for key in keys)
    assert max(map(len, keys)) <= 100
    assert {"a-b", "my-photo-1-v2"} <= set(keys)


def test_an_image_of_a_folder_is_read_when_asked_for(tmp_path: Path, save) -> None:
    save(tmp_path / "a.png")
    (image,) = ImageFolder("photos", str(tmp_path))

    assert image.load().shape == (HEIGHT, WIDTH, 3)
    assert image.masks() == []
    assert image.encoded is not None
    assert image.encoded() == (tmp_path / "a.png").read_bytes()


def test_a_missing_and_an_empty_folder_name_the_key_to_set(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="photos: there is no folder .* set `path`"):
        ImageFolder("photos", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="photos: .* holds no image; set `path`"):
        ImageFolder("photos", tmp_path)


def test_skipped_keys_are_left_out_and_must_exist(tmp_path: Path, save) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "b.png")

    assert [image.key for image in ImageFolder("photos", tmp_path, skip=["a"])] == ["b"]
    with pytest.raises(ValueError, match="`skip` names 'c'"):
        ImageFolder("photos", tmp_path, skip=["c"])


# BSDS, shards, scenes


def segmentation(regions: np.ndarray) -> np.ndarray:
    """One annotator's cell of a BSDS500 file."""
    cell = np.empty((1, 1), dtype=[("Segmentation", object)])
    cell[0, 0]["Segmentation"] = regions.astype(np.uint16)
    return cell


def test_bsds_takes_every_region_of_the_finest_annotator(tmp_path: Path, save, masks_of) -> None:
    save(tmp_path / "images/a.jpg")
    save(tmp_path / "images/without_truth.jpg")
    columns = np.tile(np.arange(WIDTH), (HEIGHT, 1))
    annotators = np.empty((1, 2), dtype=object)
    annotators[0, 0] = segmentation(columns // 15 + 1)
    annotators[0, 1] = segmentation(columns // 10 + 1)
    savemat(tmp_path / "a.mat", {"groundTruth": annotators})

    masks = masks_of(BsdsSet("bsds", tmp_path / "images", tmp_path))

    assert list(masks) == ["a"]
    assert [mask.sum() for mask in masks["a"]] == [HEIGHT * 10] * 3


def test_a_bsds_file_without_an_image_is_an_orphan(tmp_path: Path, save) -> None:
    save(tmp_path / "images/a.jpg")
    for name in "ab":
        (tmp_path / f"{name}.mat").write_bytes(b"")
    bad: list[tuple[str, str, type]] = []

    BsdsSet(
        "bsds", tmp_path / "images", tmp_path, on_bad=lambda *b: bad.append((*b[:2], type(b[2])))
    )

    assert bad == [("bsds", "b", OrphanMask)]


def test_a_broken_bsds_file_is_named(tmp_path: Path, save) -> None:
    save(tmp_path / "images/a.jpg")
    (tmp_path / "a.mat").write_bytes(b"no matrix")
    (image,) = BsdsSet("bsds", tmp_path / "images", tmp_path)

    with pytest.raises(ValueError, match=r"a\.mat is no BSDS500 ground truth"):
        image.masks()


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


def test_scenes_are_the_same_every_time() -> None:
    first, again = (list(SceneSet("scenes", 2, seed=3, image_size=64)) for _ in range(2))

    assert [image.key for image in first] == ["000003", "000004"]
    assert np.array_equal(first[1].load(), again[1].load())
    assert first[1].masks() == again[1].masks()
    assert first[1].masks()[0]["size"] == [64, 64]
