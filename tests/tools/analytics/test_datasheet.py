import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sam_train.data.store.bad_samples import refuse
from sam_train.data.store.manifest import Dataset
from tools.analytics.datasheet import MASKS_PER_IMAGE, class_names, classed
from tools.analytics.indexed_version import IndexedVersion
from tools.analytics.mask_index import write_mask_index
from tools.analytics.queries import CENTRE_CELLS, MEASURES
from tools.datasheet import write_datasheet


@pytest.fixture(scope="module")
def version(root: Path, tmp_path_factory: pytest.TempPathFactory) -> IndexedVersion:
    manifest = Dataset(root).read(2)
    folder = tmp_path_factory.mktemp("index")
    files = write_mask_index(Dataset(root), manifest, folder, on_bad=refuse)
    return IndexedVersion(root, manifest, files)


@pytest.fixture(scope="module")
def rows(version: IndexedVersion) -> list[dict]:
    return [row for file in version.files for row in pq.read_table(file).to_pylist()]


@pytest.fixture(scope="module")
def page(root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The datasheet of version 2 beside version 1."""
    folder = tmp_path_factory.mktemp("sheet")
    write_datasheet(
        root,
        out=folder / "sheet.html",
        compare="1",
        index=folder,
        pictures=4,
        command="the command",
    )
    return (folder / "sheet.html").read_text()


def mean(rows: list[dict], name: str) -> float:
    return pytest.approx(np.mean([row[name] for row in rows]))


def test_phases_and_annotators_are_averaged_over_their_masks(version, rows):
    names = [(row["phase"], row["round"], row["annotator"]) for row in version.phases]
    assert names == [
        ("known", 0, "set"),
        ("assisted_manual", 1, "ada"),
        ("assisted_manual", 1, "ben"),
    ]
    for answer in version.phases:
        masks = [row for row in rows if row["annotator"] == answer["annotator"]]
        assert answer["masks"] == len(masks)
        for name in ("seconds", "clicks", "predicted_iou", "concavity"):
            assert answer[name] == mean(masks, name)
        assert answer["size"] == pytest.approx(np.mean([r["relative_area"] ** 0.5 for r in masks]))


def test_histograms_equal_numpys(version, rows):
    sizes = np.log10([row["relative_area"] for row in rows]) / 2
    for name, values in {
        "size": sizes,
        "concavity": [row["concavity"] for row in rows],
        "predicted_iou": [row["predicted_iou"] for row in rows],
    }.items():
        measure = MEASURES[name]
        counts, _ = np.histogram(values, measure.bins, (measure.low, measure.high))
        assert version.histogram(name).sum() == len(rows)
        assert np.abs(np.cumsum(version.histogram(name) - counts)).max() <= 1  # a value on an edge


def test_centres_lie_where_the_masks_are(version, rows):
    cells = Counter(
        tuple(min(int(row[f"centre_{axis}"] * CENTRE_CELLS), CENTRE_CELLS - 1) for axis in "yx")
        for row in rows
    )
    counts = version.centres()
    assert {place: counts[place] for place in zip(*np.nonzero(counts), strict=True)} == cells


def test_images_without_masks_count(version, rows):
    masks = Counter(Counter(row["key"] for row in rows).values())
    assert version.masks_per_image() == {0: 0} | masks
    assert sum(version.masks_per_image().values()) == version.images == 5


def test_classes_of_masks_per_image_leave_none_out():
    assert class_names()[:4] == ["0", "1", "2-4", "5-9"]
    assert classed({0: 3, 1: 1, 4: 2, 5: 1, 900: 6}).tolist()[:4] == [3, 1, 2, 1]
    assert classed({900: 6})[-1] == 6
    assert len(class_names()) == len(MASKS_PER_IMAGE)


def test_sources_name_images_and_masks(version, rows):
    sources = Counter(row["source"] for row in rows)
    assert version.sources == [
        {"source": "set-a", "images": 3, "masks": sources["set-a"]},
        {"source": "set-b", "images": 2, "masks": sources["set-b"]},
    ]


def test_the_page_stands_alone_and_names_its_origin(page, root):
    sources = re.findall(r'(?:src|href)="([^"]{,40})', page)
    assert all(source.startswith(("data:image/", "#")) for source in sources)
    assert "<script" not in page
    assert "the command" in page
    assert "manifest sha256" in page


def test_two_versions_stand_side_by_side_where_they_differ(page):
    captions = re.findall(r"<figcaption>(\d), version (\d)", page)
    assert sorted(captions) == [(key, version) for key in "012" for version in "12"]


def test_one_version_needs_no_other(root, tmp_path):
    write_datasheet(root, out=tmp_path / "a.html", version="1", index=tmp_path, command="c")
    page = (tmp_path / "a.html").read_text()
    assert page.count('alt="masks"') == 5
    assert "side by side" not in page


def test_a_version_that_is_not_there_is_named(root, tmp_path):
    with pytest.raises(FileNotFoundError, match="no version 9"):
        write_datasheet(root, out=tmp_path / "a.html", version="9", command="c")
