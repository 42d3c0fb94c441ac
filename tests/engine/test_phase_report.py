"""A phase alone on a folder of photographs, from its config to its report."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from data_engine.run import run
from data_engine.run_folder import read_json
from sam_train.data.images import encode_jpeg
from sam_train.data.scenes import draw_scene
from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.checkpoint import save_model

CONFIGS = Path(__file__).parents[2] / "configs"
TINY = {"image_size": 64, "dim": 32}


def annotate(folder: Path, *overrides: str) -> None:
    """Runs a phase on two drawn photographs and a file that is none."""
    for seed in range(2):
        photo = folder / "photos" / f"{seed}.jpg"
        photo.parent.mkdir(parents=True, exist_ok=True)
        photo.write_bytes(encode_jpeg(draw_scene(seed, (96, 128)).image))
    (folder / "photos" / "broken.jpg").write_bytes(b"no image")
    torch.manual_seed(4)
    save_model(build_sam_tiny(**TINY), folder / "model.safetensors", model="tiny", config=TINY)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        paths = (f"pool.path={folder}/photos", f"output_dir={folder}/run")
        run(compose("engine", [*overrides, *paths, f"checkpoint={folder}/model.safetensors"]))


def test_a_phase_by_tiles_ends_in_a_page_with_what_each_step_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    untrained = (
        "phase.generator.pred_iou_thresh=-10.0",
        "phase.generator.stability_score_thresh=0.0",
    )
    tiles = ("phase.tiling.tile_size=64", "phase.tiling.tile_overlap=16")
    small = ("phase.generator.points_per_side=2", *untrained, *tiles)
    annotate(tmp_path, "phase=fully_automatic_tiled", "pool=folder", *small)

    (stats,) = map(read_json, (tmp_path / "run/annotate").glob("*.stats.json"))
    page = (tmp_path / "run/report.html").read_text()
    assert stats["decoded"] == 2 * 6 * 2 * 2 * 3  # images, tiles, points, masks of each
    assert stats["stitched"] >= stats["kept"] >= stats["masks"] > 0
    assert all(f"<td>{step}</td>" in page for step in ("decoded", "stitched", "kept"))
    assert "duplicates" not in page  # it is what the last step dropped
    assert stats["worker"] in page and "UnreadableImage" in page
    assert page.count("data:image/jpeg") == 2
    assert f"report: {tmp_path}/run/report.html" in capsys.readouterr().out


def test_a_phase_that_finds_no_mask_says_which_threshold_left_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = ("phase.generator.points_per_side=2", "phase.generator.pred_iou_thresh=10.0")
    annotate(tmp_path, "phase=fully_automatic", "pool=folder", *small)

    told = "of 24 none was of a predicted IoU that is high enough"
    assert told in caplog.text
    assert told in (tmp_path / "run/report.html").read_text()
