import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_train.data.images import encode_jpeg
from sam_train.data.records import Provenance, Record, Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import write_annotations, write_shard
from tools.inspect import main

SECOND_PHASE: Provenance = {
    "phase": "semi_automatic",
    "round": 1,
    "annotator": "model",
    "model_sha256": None,
    "config_sha256": None,
    "prompts": [],
    "seconds": 0.0,
    "parent_id": None,
    "review": {"state": "none", "reviewer": None, "iou": None},
}


def record(sides: list[int], provenance: Provenance | None = None) -> Record:
    """A white image of 200 x 120 with square masks of the given sides."""
    masks = []
    for side in sides:
        mask = np.zeros((120, 200), bool)
        mask[:side, :side] = True
        masks.append(mask)
    return {
        "image": {"image_id": 1, "width": 200, "height": 120, "file_name": "a.jpg"},
        "annotations": [
            annotation_from_rle(encode_mask(mask), id=id, provenance=provenance)
            for id, mask in enumerate(masks)
        ],
    }


def shard(path: Path, count: int) -> None:
    jpeg = encode_jpeg(np.full((120, 200, 3), 255, np.uint8))
    write_shard(path, (Sample(f"k{n}", jpeg, record([20, 50, 100][: n % 4])) for n in range(count)))


def test_a_shard_is_counted_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard(tmp_path / "a.tar", 8)

    main([f"{tmp_path}/a.tar", "--out", f"{tmp_path}/sheet.png", "--images", "5", "--columns", "3"])

    said = capsys.readouterr().out
    assert "images      8" in said
    assert "sizes       200 x 120 to 200 x 120" in said
    assert "masks       12: 0 to 3 an image, 1.5 on average" in said
    assert "mask sizes  50 % small, 33 % medium, 17 % large" in said
    assert "phases      100 % fully_automatic" in said
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (3 * 326 + 6, 2 * 348 + 6)
        pixels = np.asarray(sheet)
    assert (np.ptp(pixels, axis=-1) > 100).any()  # colours on white


def test_overlays_show_the_masks_at_the_size_of_the_image(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", 4)

    main([f"{tmp_path}/a.tar", "--overlays", f"{tmp_path}/overlays", "--images", "4"])

    pictures = {path.name: np.asarray(Image.open(path)) for path in tmp_path.glob("overlays/*")}
    assert sorted(pictures) == ["k0.jpg", "k1.jpg", "k2.jpg", "k3.jpg"]
    assert pictures["k0.jpg"].min() > 250  # no mask
    painted = np.ptp(pictures["k2.jpg"], axis=-1) > 40  # masks of 20 and of 50 pixels a side
    assert painted.shape == (120, 200) and painted[:48, :48].all() and not painted[54:, 54:].any()
    assert (np.abs(pictures["k2.jpg"][10, 10].astype(int) - pictures["k2.jpg"][40, 40]) > 40).any()


def test_a_dataset_is_shown_with_its_current_masks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tar, layer = tmp_path / "images/a.tar", tmp_path / "annotations/01/a.tar"
    shard(tar, 4)
    write_annotations(layer, [("k0", record([9, 9], SECOND_PHASE))])
    dataset = Dataset(tmp_path)
    entry = dataset.entry(tar, layer, source="drawn", phase="fully_automatic")
    dataset.commit([entry], parent=None, phase="fully_automatic", round=1)

    main([str(tmp_path)])

    said = capsys.readouterr().out
    assert "version 1, 1 shards" in said and "source      drawn: 4 images" in said
    assert "75 % fully_automatic, 25 % semi_automatic" in said


def test_a_damaged_record_and_image_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps(record([20])).encode()
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, content in {
            "a.jpg": b"no image",
            "a.json": text,
            "b.jpg": encode_jpeg(np.zeros((120, 200, 3), np.uint8)),
            "b.json": b"{",
            "c.jpg": encode_jpeg(np.zeros((120, 200, 3), np.uint8)),
            "c.json": text,
        }.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))

    main([f"{tmp_path}/a.tar", "--out", f"{tmp_path}/sheet.png"])

    said = capsys.readouterr().out
    assert "bad         b: Not a json" in said and "bad         a: an image of 8 bytes" in said
    assert "sheet.png, 1 images" in said


def test_a_tar_of_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no tar")

    with pytest.raises(SystemExit, match="holds no image with a record"):
        main([f"{tmp_path}/a.tar"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "inspect: there is no nowhere: name a dataset or a tar"),
        (["."], "is no dataset"),
        ([".", "--images", "0"], "at least one image"),
    ],
)
def test_a_wrong_path_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message):
        main(arguments)
