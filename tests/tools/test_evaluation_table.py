import sys

import pytest

from tools import evaluation_table
from tools.evaluation_table import markdown_table


def report(iou: float, noc: float | None = None) -> dict:
    tables = {"clicks": {"iou_at_1": iou, "iou_box": 1.0, "oracle_at_1": 0.9}}
    if noc is not None:
        tables["noc"] = {"noc_90": noc}
    return {
        "protocols": {
            name: {"mean": {**mean, "masks": 7}, "sets": {"a": mean, "b": mean}}
            for name, mean in tables.items()
        }
    }


def test_a_row_for_each_model_and_the_sets_below():
    table = markdown_table({"model": report(0.3214, 18.24), "disc": report(0.05, 20.0)})

    assert table.splitlines() == [
        "|  | 1 click | box | NoC@90 |",
        "| --- | --- | --- | --- |",
        "| model | .321 | 1.0 | 18.2 |",
        "| disc | .050 | 1.0 | 20.0 |",
        "",
        "clicks: a, b (7 masks); noc: a, b (7 masks).",
    ]


def test_what_cannot_be_evaluated_ends_in_one_sentence(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    (tmp_path / "m.pth").touch()
    arguments = ["x", str(tmp_path / "m.pth"), "--floors", "", "--out", str(tmp_path / "t")]
    monkeypatch.setattr(sys, "argv", arguments)

    with pytest.raises(SystemExit, match="could not be evaluated"):
        evaluation_table.main()
    assert "m.pth does not say what it is" in capfd.readouterr().err


def test_a_checkpoint_that_is_not_there_is_told_before_the_floors_are_evaluated(
    tmp_path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "argv", ["x", "no.safetensors", "--out", str(tmp_path / "t")])

    with pytest.raises(SystemExit, match="no checkpoint file no.safetensors"):
        evaluation_table.main()
    assert not (tmp_path / "t").exists()


@pytest.mark.slow
def test_one_command_makes_the_table(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    import torch

    from sam_train.modeling.build import build_sam_tiny
    from sam_train.modeling.checkpoint import save_model

    torch.manual_seed(0)
    model = tmp_path / "m.safetensors"
    save_model(build_sam_tiny(image_size=64), model, model="tiny", config={"image_size": 64})
    small = ["suite.sets.scenes.count=1", "suite.sets.scenes.image_size=64"]
    monkeypatch.setattr(
        sys, "argv", ["x", str(model), "--floors", "shapes", "--out", str(tmp_path / "t"), *small]
    )

    evaluation_table.main()

    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "|  | 1 click | 3 | 5 | box |"
    assert [line.split(" | ")[0] for line in lines[2:4]] == ["| model", "| shapes"]
    assert lines[5].startswith("clicks: scenes (")
