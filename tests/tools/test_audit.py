import csv
import json
from pathlib import Path

import numpy as np
import pytest

from sam_train.data.images import encode_jpeg, read_image
from sam_train.data.records import Record, Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import write_shard
from tools.audit import main
from tools.auditing.score import Judged, good_share, wilson

SIDES = (20, 24, 60, 64, 100)  # two small, two medium, one large


def square(side: int, shift: int = 0) -> np.ndarray:
    mask = np.zeros((160, 200), bool)
    mask[10 : 10 + side, 10 + shift : 10 + shift + side] = True
    return mask


def dataset(root: Path, *, shift: int = 0, sides: tuple[int, ...] = SIDES) -> Path:
    """Three images with squares."""
    image = encode_jpeg(np.full((160, 200, 3), 90, np.uint8))
    masks = [encode_mask(square(side, shift)) for side in sides]
    record: Record = {
        "image": {"image_id": 1, "width": 200, "height": 160, "file_name": "a.jpg"},
        "annotations": [annotation_from_rle(rle, id=id) for id, rle in enumerate(masks, start=1)],
    }
    tar = root / "images/a.tar"
    write_shard(tar, [Sample(f"set-{key}", image, record) for key in "abc"])
    versions = Dataset(root)
    entries = [versions.entry(tar, source="drawn", phase="fully_automatic")]
    versions.commit(entries, parent=None, phase="fully_automatic", round=0)
    return root


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "sample.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_stratum_gives_its_masks_by_lot(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data")
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        main(["draw", str(root), str(tmp_path / name), "--masks", "3", "--seed", str(seed)])

    drawn = lines(tmp_path / "one")
    assert [line["size"] for line in drawn] == ["large"] * 3 + ["medium"] * 3 + ["small"] * 3
    assert {(line["size"], line["of"]) for line in drawn} == {
        ("large", "3"), ("medium", "6"), ("small", "6")
    }  # fmt: skip
    assert drawn == lines(tmp_path / "same") != lines(tmp_path / "other")
    pictures = sorted(path.name for path in (tmp_path / "one").glob("*.jpg"))
    assert pictures == sorted(line["picture"] for line in drawn)
    shapes = {read_image(tmp_path / "one" / name).shape for name in pictures}
    assert shapes == {(640, 2 * 640, 3)}  # squares of all sizes and their surroundings, twice


def test_what_people_wrote_is_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["draw", str(dataset(tmp_path / "data")), str(tmp_path / "audit")])
    rows = lines(tmp_path / "audit")
    for row, iou in zip(rows, ["0.95", "0.8", "0.7", *["1"] * 9, "", "0,5", "1"], strict=True):
        row["iou"] = iou
    with (tmp_path / "audit/sample.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    capsys.readouterr()

    main(["score", str(tmp_path / "audit")])
    _, large, medium, small, everything = capsys.readouterr().out.splitlines()
    assert large.split()[:6] == ["fully_automatic,", "large", "3", "3", "66.7", "%"]
    assert large.split()[9:11] == ["33.3", "%"]
    assert medium.split()[2:5] == ["6", "6", "100.0"] and small.split()[2:5] == ["5", "6", "80.0"]
    # 2 of 3, 6 of 6 and 4 of 5 that stand for 6, of 15 masks
    assert everything.split()[1:4] == ["14", "15", "85.3"]


@pytest.mark.parametrize(("shift", "share"), [(0, "100.0"), (10, "20.0")])
def test_known_masks_score_without_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shift: int, share: str
) -> None:
    main(["draw", str(dataset(tmp_path / "data")), str(tmp_path / "audit")])
    known = dataset(tmp_path / "known", shift=shift)
    capsys.readouterr()

    main(["score", str(tmp_path / "audit"), "--known", str(known)])
    everything = capsys.readouterr().out.splitlines()[-1]
    assert everything.split()[:4] == ["all", "15", "15", share]  # 100 px: 90 of 110 are shared


def test_a_coco_set_scores_the_images_of_a_pool(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["draw", str(dataset(tmp_path / "data")), str(tmp_path / "audit")])
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/b.jpg").write_bytes(encode_jpeg(np.zeros((160, 200, 3), np.uint8)))
    box = [10, 10, 110, 10, 110, 110, 10, 110]
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [box], "iscrowd": 0}
    coco = {
        "images": [{"id": 1, "file_name": "b.jpg", "width": 200, "height": 160}],
        "annotations": [annotation | {"area": 10000, "bbox": [10, 10, 100, 100]}],
        "categories": [{"id": 1, "name": "square"}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    capsys.readouterr()

    known = ["--known", str(tmp_path / "photos"), "--coco", str(tmp_path / "coco.json")]
    main(["score", str(tmp_path / "audit"), *known])
    _, large, medium, _, everything = capsys.readouterr().out.splitlines()
    assert large.split()[2:5] == ["1", "3", "100.0"] and medium.split()[4] == "0.0"
    assert everything.split()[1] == "5"


def test_wilsons_interval_is_that_of_the_tables() -> None:
    tenth = wilson(1 / 10, 10.0)
    assert (round(tenth.low, 4), round(tenth.high, 4)) == (0.0179, 0.4042)
    assert wilson(1.0, 20.0).high == 1.0 and round(wilson(1.0, 20.0).low, 3) == 0.839


def test_a_stratum_counts_as_much_as_it_has_masks() -> None:
    rows = [Judged(("a", "small"), 90, 1.0)] * 5 + [Judged(("a", "large"), 10, 0.0)] * 5

    assert good_share(rows, 0.75).share == pytest.approx(0.9)
    assert good_share(rows[:5], 0.75) == wilson(1.0, 5.0)
    # The weights are as unequal as those of 6.1 masks drawn evenly.
    assert good_share(rows, 0.75).low == pytest.approx(wilson(0.9, 500 / 82).low)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("2", "line 2: '2' is no overlap"), ("good", "'good' is no overlap"), ("", "is judged")],
)
def test_a_wrong_list_is_told_in_a_sentence(tmp_path: Path, wrong: str, said: str) -> None:
    folder = str(tmp_path / "audit")
    main(["draw", str(dataset(tmp_path / "data", sides=(20,))), folder, "--masks", "1"])
    path = tmp_path / "audit/sample.csv"
    path.write_text(path.read_text().rstrip() + wrong + "\n")

    with pytest.raises(SystemExit, match=said):
        main(["score", folder])
    with pytest.raises(SystemExit, match="draw one first"):
        main(["score", "nowhere"])
    with pytest.raises(SystemExit, match="holds an audit already"):
        main(["draw", str(tmp_path / "data"), folder])
