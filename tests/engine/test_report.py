import json
import re
from pathlib import Path

import pytest
import torch

from data_engine.report import ROUND_KEYS, write_report
from data_engine.run_folder import write_json
from sam_train.data.images import encode_jpeg
from sam_train.data.records import Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.scenes import SceneSet, draw_scene
from sam_train.data.store.bad_samples import BadSampleLog
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import write_annotations, write_shard
from sam_train.evaluation.suite import evaluate_suite
from sam_train.modeling.build import build_sam_tiny

PHASES = ["known", "assisted_manual", "fully_automatic"]
SIZE = (64, 64)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three rounds with the files that the engine leaves, the second not evaluated."""
    run = tmp_path_factory.mktemp("toy-run")
    (run / "command.txt").write_text("python -m data_engine.run experiment=toy\n")
    write_images(run)
    for number, phase in enumerate(PHASES):
        version = commit(run, number, phase)
        folder = run / "rounds" / f"{number:02d}-{'bootstrap' if not number else phase}"
        if number != 1:
            write_json(folder / "evaluation.json", evaluation(folder / "evaluation"))
        write_json(folder / "round.json", round_summary(number, phase, version))
    write_report(run)
    return run


def write_images(run: Path) -> None:
    samples = []
    for seed in range(2):
        info = {"image_id": seed, "width": 64, "height": 64, "file_name": f"{seed}.jpg"}
        jpeg = encode_jpeg(draw_scene(seed, SIZE).image)
        samples.append(Sample(str(seed), jpeg, {"image": info, "annotations": []}))
    write_shard(run / "dataset" / "images" / "pool-000000.tar", samples)


def commit(run: Path, number: int, phase: str) -> int:
    dataset = Dataset(run / "dataset")
    layer = dataset.root / "annotations" / f"{number:02d}-{phase}" / "pool-000000.tar"
    records = []
    for seed in range(2):
        masks = draw_scene(seed, SIZE).masks
        annotations = [annotation_from_rle(encode_mask(mask), id=i) for i, mask in enumerate(masks)]
        for annotation in annotations:
            annotation["provenance"] = {
                "phase": phase, "round": number, "annotator": "simulated", "model_sha256": "m",
                "config_sha256": "c", "prompts": [], "seconds": 2.0, "parent_id": None,
                "review": {"state": "none", "reviewer": None, "iou": None},
            }  # fmt: skip
        info = {"image_id": seed, "width": 64, "height": 64, "file_name": f"{seed}.jpg"}
        records.append((str(seed), {"image": info, "annotations": annotations}))
    write_annotations(layer, records)
    images = dataset.root / "images" / "pool-000000.tar"
    entry = dataset.entry(images, layer, source="scenes", phase=phase)
    return dataset.commit([entry], parent=number or None, phase=phase, round=number).version


def evaluation(output_dir: Path) -> dict:
    torch.manual_seed(0)
    return evaluate_suite(
        build_sam_tiny(image_size=64),
        {"held-out": SceneSet("held-out", 1, seed=100, image_size=64)},
        protocol={"clicks": (1, 3, 5), "max_masks": 2},
        output_dir=output_dir,
        examples=1,
        origin={"checkpoint": "m", "checkpoint_sha256": "ab" * 32, "command": "toy"},
    )


def round_summary(number: int, phase: str, version: int) -> dict:
    return {
        "phase": phase, "round": number, "images": 2, "masks": 9, "masks_per_image": 4.5,
        "seconds_per_mask": 3.25, "clicks_per_mask": 2.5, "iou_at_1": 0.25, "iou_at_3": 0.5,
        "iou_at_5": None, "dataset_version": version, "checkpoint_sha256": "ab" * 32,
        "wall_seconds": 90.0, "brushed_share": 0.1,
    }  # fmt: skip


def test_the_json_has_a_row_per_round_and_the_final_numbers(run_dir):
    report = json.loads((run_dir / "report.json").read_text())

    assert [tuple(row) for row in report["rounds"]] == [ROUND_KEYS] * 3
    assert [row["phase"] for row in report["rounds"]] == PHASES
    assert (report["dataset_version"], report["checkpoint_sha256"]) == (3, "ab" * 32)
    assert {"iou_at_5", "iou_box", "disc", "ellipse", "empty_at_1"} <= report["final"].keys()
    assert list(report["final"]["sets"]) == ["held-out"]


def test_the_page_stands_alone_and_is_small(run_dir):
    page = (run_dir / "report.html").read_text()

    sources = re.findall(r'(?:src|href)="([^"]{,40})', page)
    assert all(source.startswith(("data:image/jpeg", "#")) for source in sources)
    assert len(page) < 4e6
    assert "python -m data_engine.run experiment=toy" in page
    assert page.count('alt="automatic masks"') == 2
    assert page.count('alt="prediction"') == 2
    assert "ab" * 32 in page


def test_bad_samples_are_counted(run_dir):
    BadSampleLog(run_dir / "bad_samples.jsonl")("a.tar", "key", ValueError("torn"))

    write_report(run_dir)

    assert "Samples that could not be used: 1" in (run_dir / "report.html").read_text()


def test_rounds_without_any_evaluation_are_reported(run_dir, tmp_path):
    folder = tmp_path / "rounds" / "01-assisted_manual"
    write_json(folder / "round.json", round_summary(1, "assisted_manual", 1))
    (tmp_path / "command.txt").write_text("toy\n")
    (tmp_path / "dataset").symlink_to(run_dir / "dataset")

    write_report(tmp_path)

    assert json.loads((tmp_path / "report.json").read_text())["final"] == {}
    assert "assisted manual" in (tmp_path / "report.html").read_text()


def test_a_folder_without_rounds_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no finished round"):
        write_report(tmp_path)
