import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from sam_train.data.scenes import SceneSet
from sam_train.evaluate import evaluate
from sam_train.evaluation.models.baselines import ShapeSegmenter
from sam_train.evaluation.pictures import RowPainter, click_examples
from sam_train.evaluation.protocols.clicks import ClickProtocol
from sam_train.evaluation.report import table_lines
from sam_train.evaluation.rows import read_rows
from sam_train.evaluation.run import Task
from sam_train.evaluation.suite import evaluate_tasks, table
from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.checkpoint import save_model

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = (
    "suite.sets.scenes.count=2",
    "suite.sets.scenes.image_size=64",
    "++suite.tasks={clicks: {sets: all, max_masks: 4}, noc: {sets: all, max_masks: 2}}",
    "protocols.clicks.clicks=[1,3]",
    "protocols.noc.max_clicks=3",
    "examples=1",
)


def config(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("evaluate", [*SMALL, *overrides])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    save_model(build_sam_tiny(image_size=64), path, model="tiny", config={"image_size": 64})
    return path


@pytest.fixture(scope="module")
def report_dir(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of the entry point for the model, compared with the floor of shapes."""
    folder = tmp_path_factory.mktemp("evaluate")
    evaluate(config("segmenter=shapes", f"output_dir={folder / 'shapes'}"))
    evaluate(
        config(
            f"checkpoint={checkpoint}",
            f"output_dir={folder / 'out'}",
            f"against={folder / 'shapes'}",
        )
    )
    return folder / "out"


def test_the_report_says_what_was_measured_on_what(report_dir):
    report = json.loads((report_dir / "report.json").read_text())

    assert report["protocols"]["clicks"]["mean"]["masks"] == 4
    assert report["protocols"]["clicks"]["settings"]["clicks"] == [1, 3]
    assert "App. D.1" in report["protocols"]["clicks"]["definition"]
    assert report["protocols"]["noc"]["sets"]["scenes"]["failures_90"] == 2
    assert len(report["checkpoint_sha256"]) == 64
    assert report["command"].startswith("python -m sam_train.evaluate")
    assert report["left_out"] == {}


def test_the_table_can_be_made_again_without_the_model(report_dir):
    report = json.loads((report_dir / "report.json").read_text())
    rows = read_rows([report_dir / "clicks.parquet"])

    again = table(ClickProtocol(clicks=[1, 3]), rows)

    assert json.loads(json.dumps(again)) == report["protocols"]["clicks"]


def test_two_models_are_compared_mask_by_mask(report_dir):
    comparison = json.loads((report_dir / "report.json").read_text())["comparison"]

    (row,) = [r for r in comparison["tables"]["clicks"] if r["column"] == "iou_at_1"]
    assert row["masks"] == 4
    assert row["low"] <= row["difference"] <= row["high"]
    assert row["second"] - row["first"] == pytest.approx(row["difference"])
    assert len(comparison["pictures"]) == 4


def test_the_page_needs_no_other_file(report_dir):
    page = (report_dir / "report.html").read_text()

    sources = re.findall(r'(?:src|href)="([^"]{,40})', page)
    assert sources
    assert all(source.startswith(("data:image/jpeg", "#")) for source in sources)
    assert "http-equiv" not in page
    assert "<script" not in page


def test_a_suite_without_masks_is_refused(checkpoint, tmp_path):
    cfg = config(f"checkpoint={checkpoint}", f"output_dir={tmp_path}")
    cfg.suite.tasks = {"clicks": {"sets": "all", "max_masks": 0}}

    with pytest.raises(ValueError, match="holds a mask"):
        evaluate(cfg)


def test_the_terminal_shows_a_line_for_each_set():
    row = {"set": "a", "key": "k", "mask_id": 0, "area": 9, "iou_at_1": 0.5, "iou_box": 0.7}
    row["predicted_iou_at_1"] = 0.5

    head, line, mean = table_lines(table(ClickProtocol(clicks=[1]), [row]), room=80)

    assert head.split() == ["set", "masks", "iou_at_1", "iou_box", "calibration_error"]
    assert line.split() == ["a", "1", "0.500", "0.700", "0.000"]
    assert mean.split()[1:] == line.split()[1:]


def test_columns_beyond_the_width_of_the_terminal_are_shown_below():
    row = {"set": "a", "key": "k", "mask_id": 0, "area": 9, "iou_at_1": 0.5, "iou_box": 0.7}
    row["predicted_iou_at_1"] = 0.5
    summary = table(ClickProtocol(clicks=[1]), [row])

    lines = table_lines(summary, room=20)
    assert [line.split() for line in lines[:4]] == [
        ["set", "masks", "iou_at_1"], ["a", "1", "0.500"], ["mean", "1", "0.500"],
        ["set", "iou_box"],
    ]  # fmt: skip
    assert max(map(len, lines[:6])) <= 20
    assert len(table_lines(summary, room=1)) == 3 * 4  # a column at least


def test_examples_take_the_sets_in_turn(tmp_path):
    sets = {name: SceneSet(name, 2, seed=n, image_size=64) for n, name in enumerate("ab")}
    tasks = [Task(ClickProtocol(clicks=[1, 2]), image_set) for image_set in sets.values()]
    origin = {"checkpoint": "m", "checkpoint_sha256": None, "command": "toy"}
    evaluate_tasks(ShapeSegmenter, tasks, output_dir=tmp_path, examples=0, origin=origin)
    rows = read_rows([tmp_path / "clicks.parquet"])

    examples = click_examples(rows, RowPainter(sets, tmp_path), 3, clicks=(1, 2))

    assert [example["set"] for example in examples] == ["a", "b", "a"]
    assert examples[0]["key"] != examples[2]["key"]
    for example in examples:
        assert [prediction["clicks"] for prediction in example["predictions"]] == [1, 2]
        files = [example["truth"], *(p["file"] for p in example["predictions"])]
        assert all((tmp_path / file).is_file() for file in files)


def test_a_checkpoint_that_must_be_given_is_named():
    with pytest.raises(ValueError, match="checkpoint is not given"):
        evaluate(config())


def test_an_official_checkpoint_needs_the_name_of_its_model(tmp_path):
    (tmp_path / "m.pth").touch()

    with pytest.raises(Exception, match="model_type=vit_b"):
        evaluate(config(f"checkpoint={tmp_path / 'm.pth'}", f"output_dir={tmp_path}"))
    with pytest.raises(Exception, match="m.pth is not a checkpoint"):
        evaluate(
            config(f"checkpoint={tmp_path / 'm.pth'}", f"output_dir={tmp_path}", "model_type=tiny")
        )


def test_what_a_suite_lacks_is_named(tmp_path):
    floor = ("segmenter=shapes", f"output_dir={tmp_path}")

    with pytest.raises(ValueError, match="no set moon"):
        evaluate(config(*floor, "suite.tasks.clicks.sets=[moon]"))
    with pytest.raises(ValueError, match="no protocol video"):
        evaluate(config(*floor, "+suite.tasks.video={sets: all}"))


def test_what_a_set_leaves_out_is_counted_in_the_report(tmp_path):
    for name, value in {"good": 255, "empty": 0}.items():
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
            pixels = np.zeros((32, 32), np.uint8)
            pixels[8:24, 8:24] = value
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), pixels)
    folders = [f"suite.{name}={tmp_path / name}" for name in ("images", "masks")]
    given = ["suite=folder", "suite.layout=binary", "segmenter=shapes", *folders]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = compose("evaluate", [*given, f"output_dir={tmp_path / 'out'}"])

    evaluate(cfg)

    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["protocols"]["clicks"]["mean"]["masks"] == 1
    assert report["left_out"] == {"EmptyMask": 1}


@pytest.mark.slow
def test_a_worker_tells_why_the_model_cannot_be_built(checkpoint, tmp_path):
    lonely = tmp_path / "lonely.safetensors"
    lonely.write_bytes(checkpoint.read_bytes())

    with pytest.raises(ValueError, match=r"There is no file .*lonely\.json"):
        evaluate(config(f"checkpoint={lonely}", "workers=2", f"output_dir={tmp_path / 'out'}"))


def test_one_protocol_alone_runs_on_all_sets(tmp_path):
    evaluate(config("segmenter=shapes", "protocol=clicks_random", f"output_dir={tmp_path}"))

    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report["protocols"]) == ["clicks_random"]


def test_a_set_that_is_not_there_stops_or_is_left_out(tmp_path):
    gone = "{_target_: sam_train.data.sets.image_folder.ImageFolder, name: gone, path: /no/where}"
    given = ("segmenter=shapes", f"output_dir={tmp_path}", f"+suite.sets.gone={gone}")

    with pytest.raises(FileNotFoundError, match="missing_sets=skip"):
        evaluate(config(*given))
    evaluate(config(*given, "missing_sets=skip"))

    report = json.loads((tmp_path / "report.json").read_text())
    assert report["missing_sets"] == ["gone"]
    assert list(report["protocols"]["clicks"]["sets"]) == ["scenes"]


def test_a_suite_of_which_no_set_is_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("SAM_SUITE", str(tmp_path / "no where"))
    given = ["segmenter=shapes", "suite=sa23", "missing_sets=skip", f"output_dir={tmp_path}"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = compose("evaluate", given)

    with pytest.raises(FileNotFoundError, match="none of the 23 sets of the suite is there"):
        evaluate(cfg)
