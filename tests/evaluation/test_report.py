import csv
import json
import re
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from sam_train.data.sets.image_sets import SceneSet
from sam_train.evaluate import evaluate
from sam_train.evaluation.examples import click_examples
from sam_train.evaluation.metrics import summarise
from sam_train.evaluation.report import summary_lines
from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.checkpoint import save_model

SCENES = {
    "_target_": "sam_train.data.sets.image_sets.SceneSet",
    "name": "scenes",
    "count": 2,
    "image_size": 64,
}
CONFIG = {
    "suite": {"sets": [SCENES]},
    "model": None,
    "device": "cpu",
    "protocol": {
        "clicks": [1, 3],
        "max_masks": 4,
        "max_masks_per_image": None,
        "box_multimask_output": True,
        "disc_radius": 0.1,
    },
    "radius_from": None,
    "examples": 1,
}


@pytest.fixture(scope="module")
def report_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of the entry point for an untrained model."""
    folder = tmp_path_factory.mktemp("evaluate")
    torch.manual_seed(0)
    config = {"image_size": 64}
    save_model(build_sam_tiny(**config), folder / "m.safetensors", model="tiny", config=config)
    paths = {"checkpoint": str(folder / "m.safetensors"), "output_dir": str(folder / "out")}
    evaluate(OmegaConf.create(CONFIG | paths))
    return folder / "out"


def test_the_report_says_what_was_measured_on_what(report_dir):
    report = json.loads((report_dir / "report.json").read_text())

    assert report["mean"]["masks"] == 4
    assert report["protocol"] == CONFIG["protocol"]
    assert len(report["checkpoint_sha256"]) == 64
    assert report["command"].startswith("python -m sam_train.evaluate")
    assert report["bad_images"] == 0


def test_every_mask_has_a_line(report_dir):
    rows = list(csv.DictReader((report_dir / "masks.csv").open()))

    assert len(rows) == 4
    assert {"set", "key", "mask_id", "iou_at_1", "iou_at_3", "iou_box", "disc"} <= rows[0].keys()


def test_the_page_needs_no_other_file(report_dir):
    page = (report_dir / "report.html").read_text()

    sources = re.findall(r'(?:src|href)="([^"]{,40})', page)
    assert sources
    assert all(source.startswith(("data:image/jpeg", "#")) for source in sources)
    assert "http-equiv" not in page
    assert "<script" not in page


def test_a_suite_without_masks_is_refused(report_dir, tmp_path):
    cfg = OmegaConf.create(CONFIG | {"output_dir": str(tmp_path)})
    cfg.checkpoint = str(report_dir.parent / "m.safetensors")
    cfg.protocol.max_masks = 0

    with pytest.raises(ValueError, match="holds a mask"):
        evaluate(cfg)


def test_the_terminal_shows_the_numbers_beside_their_floors():
    row = {"set": "a", "key": "k", "mask_id": 0, "area": 9, "image_area": 99}
    row |= {"iou_at_1": 0.5, "oracle_at_1": 0.6, "iou_box": 0.7, "empty_at_1": 0.0}
    row |= {"disc": 0.25, "box": 0.65, "ellipse": 0.75}

    head, line, mean, _ = summary_lines(summarise([row])).splitlines()

    assert " ".join(head.split()).endswith("IoU@1 best3@1 box [disc] [box] [ellipse] empty@1")
    assert " ".join(line.split()) == "a 1 0.500 0.600 0.700 0.250 0.650 0.750 0.000"
    assert mean.split()[1:] == line.split()[1:]


def test_examples_take_the_sets_in_turn(tmp_path):
    torch.manual_seed(0)
    sam = build_sam_tiny(image_size=64)
    sets = [SceneSet(name, 2, seed=seed, image_size=64) for name, seed in [("a", 0), ("b", 9)]]

    examples = click_examples(sam, sets, 3, output_dir=tmp_path, clicks=(1, 2))

    assert [example["set"] for example in examples] == ["a", "b", "a"]
    assert examples[0]["key"] != examples[2]["key"]
    for example in examples:
        assert [prediction["clicks"] for prediction in example["predictions"]] == [1, 2]
        files = [example["truth"], *(p["file"] for p in example["predictions"])]
        assert all((tmp_path / file).is_file() for file in files)


def test_a_value_that_must_be_given_is_named():
    with pytest.raises(ValueError, match="checkpoint is not given"):
        evaluate(OmegaConf.create(CONFIG | {"checkpoint": "???"}))


def test_an_official_checkpoint_needs_the_name_of_its_model(tmp_path):
    (tmp_path / "m.pth").touch()

    with pytest.raises(ValueError, match="model=vit_b"):
        evaluate(OmegaConf.create(CONFIG | {"checkpoint": str(tmp_path / "m.pth")}))
