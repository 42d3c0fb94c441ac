import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sam_train.data.records import Sample
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shard_index import index_path
from sam_train.data.store.shards import write_annotations, write_shard
from tools.dataset import main

FULL, LEFT = "04", "022"  # all of four pixels; the first two, column by column


def record(*masks: str | tuple[str, dict]) -> Any:
    """A 2 x 2 image with masks of these counts, some with provenance."""
    annotations = []
    for id, mask in enumerate(masks):
        counts, provenance = (mask, {}) if isinstance(mask, str) else mask
        area = 4 if counts == FULL else 2
        annotations.append(
            {"id": id, "segmentation": {"size": [2, 2], "counts": counts}, "bbox": [0, 0, 2, 2],
             "area": area, "predicted_iou": 1.0, "stability_score": 1.0,
             "crop_box": [0, 0, 2, 2], "point_coords": []}
        )  # fmt: skip
        if provenance:
            annotations[-1] |= {"id": provenance.pop("id", id), "provenance": provenance}
    image = {"image_id": 1, "width": 2, "height": 2, "file_name": "a.jpg"}
    return {"image": image, "annotations": annotations}


def write(path: Path, first: int = 0) -> Path:
    """A tar of three images, one mask each."""
    samples = [
        Sample(f"sa_{n}", f"jpeg {n}".encode(), record(FULL)) for n in range(first, first + 3)
    ]
    write_shard(path, samples)
    index_path(path).unlink()
    return path


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder of two tars."""
    write(tmp_path / "sa1b" / "sa_000000.tar", first=0)
    write(tmp_path / "sa1b" / "sa_000001.tar", first=3)
    return tmp_path / "sa1b"


@pytest.fixture
def root(tmp_path: Path, published: Path, run) -> Path:
    """A dataset of both tars in version 1, and in version 2 with a layer over the first."""
    run("create", tmp_path / "ds", published)
    dataset = Dataset(tmp_path / "ds")
    layer = dataset.root / "annotations" / "01-semi_automatic" / "sa_000000.tar"
    write_annotations(
        layer, [("sa_0", record(FULL, LEFT)), ("sa_1", record(LEFT)), ("sa_2", record())]
    )
    first, second = dataset.read().shards
    entry = dataset.entry(dataset.root / first.images, layer, source="sa1b", phase="semi_automatic")
    dataset.commit([entry, second], parent=1, phase="semi_automatic", round=1)
    return dataset.root


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command in this process and returns what it printed."""

    def run(command: str, *arguments: object) -> str:
        workers = [] if command in ("list", "pin") else ["--workers", "1"]
        monkeypatch.setattr(sys, "argv", ["dataset", command, *map(str, arguments), *workers])
        main()
        return capsys.readouterr().out

    return run


def keys(root: Path, version: int | str = "latest") -> list[str]:
    dataset = Dataset(root)
    return [s.key for entry in dataset.read(version).shards for s in dataset.samples(entry)]


def test_published_tars_become_a_dataset_where_they_are(tmp_path, published, run):
    assert "2 shards, 6 images, 6 masks" in run("create", tmp_path / "ds", published)
    assert (tmp_path / "ds" / "images" / "sa_000001.tar").is_symlink()
    assert keys(tmp_path / "ds") == [f"sa_{n}" for n in range(6)]
    assert [path.suffix for path in sorted(published.iterdir())] == [".tar", ".tar"]


def test_tars_that_come_later_make_another_version_and_no_others_do(tmp_path, published, root, run):
    assert "@2" in run("create", root, published)
    write(published / "sa_000002.tar", first=6)
    assert "@3: 3 shards, 9 images" in run("create", root, published)
    new = Dataset(root).read()
    assert new.parent == 2 and new.shards[:2] == Dataset(root).read(2).shards


@pytest.mark.parametrize("other", [("--phase", "known"), ("--source", "mine")])
def test_tars_of_a_dataset_are_not_called_otherwise_later(published, root, run, other):
    write(published / "sa_000002.tar", first=6)
    with pytest.raises(SystemExit, match=r"_00000[01].tar is in the dataset with source sa1b and"):
        run("create", root, published, *other)
    assert Dataset(root).versions() == [1, 2]
    assert "@3" in run("create", root, published / "sa_000002.tar", *other)


@pytest.mark.parametrize("workers", ["0", "-1", "many"])
def test_less_than_one_worker_is_refused(monkeypatch, capsys, workers):
    monkeypatch.setattr(sys, "argv", ["dataset", "verify", "ds", f"--workers={workers}"])
    with pytest.raises(SystemExit):
        main()
    assert f"--workers: {workers} processes do no work: give" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            lambda tar: tar.write_bytes(b""),
            "1 of 2 tars are of no use, .*sa_000001.tar for one: It has no bytes",
        ),
        (lambda tar: tar.unlink(), "is no tar and no folder of tars"),
        (lambda tar: write(tar.parent / "more" / "sa_000000.tar"), "2 of the tars are called"),
    ],
)
def test_tars_that_are_of_no_use_are_told(tmp_path, published, run, break_it, message):
    tars = [published / "sa_000000.tar", published / "sa_000001.tar"]
    break_it(tars[1])
    with pytest.raises(SystemExit, match=message):
        run("create", tmp_path / "ds", *tars, *published.glob("more/*"))
    assert Dataset(tmp_path / "ds").versions() == []


def test_bad_samples_of_published_tars_are_listed_and_can_be_quarantined(tmp_path, published, run):
    tar = published / "sa_000000.tar"
    tar.write_bytes(tar.read_bytes().replace(b'"annotations"', b'"ann0tations"', 1))
    bad = tmp_path / "ds" / "bad_samples.jsonl"
    assert f"listed in {bad}" in run("create", tmp_path / "ds", published)
    assert "version 2 is version 1 without 1 images" in run("quarantine", tmp_path / "ds", bad)
    assert keys(tmp_path / "ds") == [f"sa_{n}" for n in range(1, 6)]
    assert [entry.image_count for entry in Dataset(tmp_path / "ds").read().shards] == [2, 3]
    with pytest.raises(SystemExit, match="that is not left out already"):
        run("quarantine", tmp_path / "ds", bad)


def test_quarantine_counts_the_masks_of_the_layer(tmp_path, root, run):
    listed = [
        {"shard": str(root / "images/sa_000000.tar"), "key": "sa_0"},
        {"shard": "elsewhere/annotations/01-semi_automatic/sa_000000.tar", "key": "sa_1"},
        {"shard": str(root / "images/sa_000001.tar"), "key": ""},
        {"shard": "another.tar", "key": "sa_4"},
    ]
    text = "\n".join(map(json.dumps, listed)) + '\n{"shard": "half'
    (tmp_path / "bad.jsonl").write_text(text)
    run("quarantine", root, tmp_path / "bad.jsonl")
    assert keys(root) == ["sa_2", "sa_3", "sa_4", "sa_5"]
    first = Dataset(root).read().shards[0]
    assert (first.excluded, first.image_count, first.mask_count) == (("sa_0", "sa_1"), 1, 0)


def test_versions_are_listed_with_their_tags(root, run):
    assert "best is version 1" in run("pin", f"{root}@1", "best")
    with pytest.raises(SystemExit, match="move it with --move"):
        run("pin", root, "best")
    lines = run("list", root).splitlines()
    assert [line.split()[0] for line in lines] == ["version", "1", "2"]
    assert lines[1].endswith("best")
    assert "is whole" in run("verify", f"{root}@best")


def test_verify_names_every_shard_that_is_not_whole(root, published, run, capsys):
    content = (published / "sa_000001.tar").read_bytes()
    (published / "sa_000001.tar").write_bytes(content.replace(b"jpeg 4", b"JPEG 4"))
    assert "version 2 is whole" in run("verify", root)
    with pytest.raises(SystemExit, match="1 of 2 shards are not whole"):
        run("verify", root, "--hashes")
    assert "sa_000001.tar in" in capsys.readouterr().out
    (published / "sa_000000.tar").unlink()
    with pytest.raises(SystemExit, match="1 of 2 shards are not whole"):
        run("verify", root)
    assert "sa_000000.tar is missing" in capsys.readouterr().out


def test_only_indexes_that_are_missing_are_built(root, published, run):
    assert "0 indexes built" in run("index", root)
    index_path(root / "images" / "sa_000001.tar").unlink()
    assert "1 indexes built" in run("index", root)
    index_path(root / "images" / "sa_000001.tar").unlink()
    content = (published / "sa_000001.tar").read_bytes()
    (published / "sa_000001.tar").write_bytes(content.replace(b"jpeg 4", b"JPEG 4"))
    with pytest.raises(SystemExit, match="is not the file that its version was made of"):
        run("index", root)


def test_diff_counts_masks_by_phase_and_shard(root, run):
    lines = run("diff", f"{root}@1", root).splitlines()
    assert [line.split() for line in lines] == [
        ["added", "replaced", "removed"],
        ["fully_automatic", "1", "1", "1"],
        ["images/sa_000000.tar", "1", "1", "1"],
    ]
    assert run("diff", root, root) == "no mask differs\n"


def test_a_mask_that_was_made_from_another_replaces_it(root, run):
    dataset = Dataset(root)
    layer = root / "annotations" / "02-assisted_manual" / "sa_000000.tar"
    corrected = {"phase": "assisted_manual", "parent_id": 0, "id": 7}
    write_annotations(layer, [("sa_1", record((FULL, corrected)))])
    first, second = dataset.read().shards
    images = root / first.images
    entry = dataset.entry(images, layer, source="sa1b", phase="assisted_manual")
    dataset.commit(
        [replace(entry, excluded=["sa_0", "sa_2"]), second], parent=2, phase="x", round=2
    )
    lines = run("diff", f"{root}@2", root).splitlines()
    assert ["assisted_manual", "0", "1", "0"] in [line.split() for line in lines]
    assert ["fully_automatic", "0", "0", "2"] in [line.split() for line in lines]


def test_a_compacted_version_needs_no_layer(tmp_path, root, run):
    run("compact", root, tmp_path / "out")
    old, new = Dataset(root), Dataset(tmp_path / "out")
    assert [entry.annotations for entry in new.read().shards] == [None, None]
    for before, after in zip(old.read().shards, new.read().shards, strict=True):
        assert list(old.samples(before)) == list(new.samples(after))
        assert (before.mask_count, before.phase) == (after.mask_count, after.phase)
    assert run("diff", root, tmp_path / "out") == "no mask differs\n"
    assert "out@1" in run("compact", root, tmp_path / "out")
    with pytest.raises(SystemExit, match="is made of other versions"):
        run("compact", f"{root}@1", tmp_path / "out")


def test_damage_is_not_compacted_into_tars_that_are_whole(tmp_path, published, root, run):
    tar = published / "sa_000001.tar"
    tar.write_bytes(tar.read_bytes().replace(b"jpeg 3", b"jpeg 8"))
    with pytest.raises(SystemExit, match="sa_000001.tar .* copy it again"):
        run("compact", root, tmp_path / "out")
    tar.unlink()
    with pytest.raises(SystemExit, match="sa_000001.tar is missing: copy it back"):
        run("compact", root, tmp_path / "out")
    assert Dataset(tmp_path / "out").versions() == []


def test_two_datasets_are_merged_by_links(tmp_path, root, run):
    write(tmp_path / "more" / "sa_000000.tar", first=50)
    run("create", tmp_path / "second", tmp_path / "more", "--source", "mine")
    assert "3 shards, 9 images, 9 masks" in run(
        "merge", root, tmp_path / "second", tmp_path / "out"
    )
    assert keys(tmp_path / "out") == [*keys(root), "sa_50", "sa_51", "sa_52"]
    assert "is whole" in run("verify", tmp_path / "out", "--hashes")
    assert [entry.source for entry in Dataset(tmp_path / "out").read().shards][-1] == "mine"


@pytest.mark.parametrize("prefer", ["first", "second"])
def test_where_two_versions_differ_one_is_preferred(tmp_path, root, run, prefer):
    with pytest.raises(SystemExit, match="--prefer first or --prefer second"):
        run("merge", f"{root}@1", root, tmp_path / "out")
    run("merge", f"{root}@1", root, tmp_path / "out", "--prefer", prefer)
    kept = Dataset(tmp_path / "out").read().shards
    assert [bool(entry.annotations) for entry in kept] == [prefer == "second", False]


def test_two_images_of_one_key_are_not_merged(tmp_path, root, run):
    tar = write(tmp_path / "more" / "other.tar", first=5)
    tar.write_bytes(tar.read_bytes().replace(b"jpeg 6", b"JPEG 6"))
    run("create", tmp_path / "second", tmp_path / "more")
    with pytest.raises(SystemExit, match="1 keys name two images each, sa_5 in images/sa_000001"):
        run("merge", root, tmp_path / "second", tmp_path / "out")
    assert Dataset(tmp_path / "out").versions() == []


def test_what_is_no_version_is_one_sentence(tmp_path, root, run):
    for name in (tmp_path, f"{root}@9", f"{root}@worst", "nowhere://ds"):
        with pytest.raises(SystemExit, match="^dataset verify: "):
            run("verify", name)
