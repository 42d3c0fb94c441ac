import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sam_train.data.records import Sample
from sam_train.data.rle import decode_rle
from sam_train.data.store.bad_samples import refuse
from sam_train.data.store.manifest import Dataset, Manifest
from sam_train.data.store.shards import read_shard, write_shard
from tools.analytics.mask_index import write_mask_index
from tools.mask_index import index_version


def rows_of(files: list[Path]) -> list[dict]:
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def masks_of(root: Path, manifest: Manifest) -> list[tuple[Sample, dict]]:
    """The sample and annotation of every mask, read from the shards."""
    return [
        (sample, annotation)
        for entry in manifest.shards
        for sample in Dataset(root).samples(entry)
        for annotation in sample.record["annotations"]
    ]


@pytest.mark.parametrize("version", [1, 2])
def test_every_mask_of_a_version_has_a_row_with_all_it_says(root, tmp_path, version):
    manifest = Dataset(root).read(version)
    rows = rows_of(write_mask_index(Dataset(root), manifest, tmp_path, on_bad=refuse))
    masks = masks_of(root, manifest)

    assert len(rows) == len(masks) == sum(entry.mask_count for entry in manifest.shards)
    for row, (sample, annotation) in zip(rows, masks, strict=True):
        provenance = annotation.pop("provenance")
        rle, prompts = annotation.pop("segmentation"), provenance.pop("prompts")
        provenance.pop("review")
        expected = annotation | provenance
        assert {name: row[name] for name in expected} == expected
        assert json.loads(row["prompts"]) == prompts
        assert (row["key"], row["rle_bytes"]) == (sample.key, len(rle["counts"]))
        assert row["relative_area"] == pytest.approx(decode_rle(rle).mean())
        assert row["clicks"] == sum(prompt["type"] == "point" for prompt in prompts)
        assert row["prompt_count"] == len(prompts)


def test_places_count_the_masks_of_an_image(root, tmp_path):
    rows = rows_of(write_mask_index(Dataset(root), Dataset(root).read(1), tmp_path, on_bad=refuse))

    for key in {row["key"] for row in rows}:
        image = [row for row in rows if row["key"] == key]
        assert [row["place"] for row in image] == list(range(len(image)))
        assert {row["masks_in_image"] for row in image} == {len(image)}


def test_a_later_version_costs_only_its_new_shards(root, tmp_path):
    first, second = (Dataset(root).read(version) for version in (1, 2))
    times = [file.stat().st_mtime_ns for file in write(root, first, tmp_path)]
    assert [file.stat().st_mtime_ns for file in write(root, first, tmp_path)] == times

    later = [file.stat().st_mtime_ns for file in write(root, second, tmp_path)]

    assert later[0] > times[0]  # has a layer now
    assert later[1] == times[1]


def test_excluded_images_have_no_rows(root, tmp_path):
    manifest = Dataset(root).read(1)
    whole = rows_of(write(root, manifest, tmp_path))
    first, second = manifest.shards
    quarantined = replace(manifest, shards=(replace(first, excluded=("1",)), second))

    rows = rows_of(write(root, quarantined, tmp_path))

    assert rows == [row for row in whole if row["key"] != "1"]
    assert len(rows) < len(whole)


def test_a_torn_file_is_written_again(root, tmp_path):
    manifest = Dataset(root).read(1)
    whole = rows_of(write(root, manifest, tmp_path))
    (tmp_path / "images" / "a-000000.parquet").write_bytes(b"PAR1 torn")

    assert rows_of(write(root, manifest, tmp_path)) == whole


def test_only_indexes_of_shards_that_left_the_version_are_removed(root, tmp_path):
    manifest = Dataset(root).read(1)
    kept, gone = write(root, manifest, tmp_path)
    foreign = tmp_path / "mine.parquet"
    pq.write_table(pa.table({"shard": ["mine"]}), foreign)

    write(root, replace(manifest, shards=manifest.shards[:1]), tmp_path)

    assert kept.exists() and foreign.exists() and not gone.exists()


def test_workers_change_nothing(root, tmp_path):
    manifest = Dataset(root).read(2)
    alone = write_mask_index(Dataset(root), manifest, tmp_path / "1", on_bad=refuse)
    both = write_mask_index(Dataset(root), manifest, tmp_path / "2", workers=2, on_bad=refuse)
    assert [file.read_bytes() for file in alone] == [file.read_bytes() for file in both]


@pytest.mark.parametrize("damage", [{"point_coords": "here"}, {"provenance": {"phase": "known"}}])
def test_a_record_that_makes_no_sense_is_listed_and_has_no_rows(root, tmp_path, damage):
    (shard,) = (root / "images").glob("a-*.tar")
    first, *others = read_shard(shard)
    first.record["annotations"][1] |= damage
    write_shard(tmp_path / "images" / "a.tar", [first, *others])
    dataset = Dataset(tmp_path)
    entry = dataset.entry(tmp_path / "images" / "a.tar", source="a", phase="known")
    dataset.commit([entry], parent=None, phase="known", round=0)

    said = index_version(tmp_path, out=tmp_path / "index")

    rows = rows_of(sorted((tmp_path / "index").rglob("*.parquet")))
    assert {row["key"] for row in rows} == {sample.key for sample in others}
    assert "1 samples left out" in said
    assert first.key in (tmp_path / "index" / "bad_samples.jsonl").read_text()


def test_a_mask_without_provenance_is_of_the_phase_of_sa1b(root, tmp_path):
    (shard,) = (root / "images").glob("b-*.tar")
    samples = list(read_shard(shard))
    for sample in samples:
        for annotation in sample.record["annotations"]:
            del annotation["provenance"]
            annotation["category"] = 7
    write_shard(tmp_path / "images" / "b.tar", samples)
    dataset = Dataset(tmp_path)
    entry = dataset.entry(tmp_path / "images" / "b.tar", source="b", phase="semi_automatic")
    dataset.commit([entry], parent=None, phase="fully_automatic", round=0)

    rows = rows_of(write(tmp_path, dataset.read(), tmp_path / "index"))

    assert {row["phase"] for row in rows} == {"fully_automatic"}  # not the shard's
    assert {row["clicks"] for row in rows} == {row["annotator"] for row in rows} == {None}
    assert {row["other"] for row in rows} == {'{"category": 7}'}


def test_row_groups_keep_the_order_of_masks(root, tmp_path, monkeypatch):
    manifest = Dataset(root).read(1)
    whole = rows_of(write(root, manifest, tmp_path / "large"))
    monkeypatch.setattr("tools.analytics.mask_index.ROW_GROUP", 1)

    files = write(root, manifest, tmp_path / "small")

    assert rows_of(files) == whole
    groups = np.sum([pq.read_metadata(file).num_row_groups for file in files])
    assert groups == sum(entry.image_count for entry in manifest.shards)


def write(root: Path, manifest: Manifest, folder: Path) -> list[Path]:
    return write_mask_index(Dataset(root), manifest, folder, on_bad=refuse)
