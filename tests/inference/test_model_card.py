"""What a card says of exported weights, and what it says is not known."""

import json
from pathlib import Path
from typing import Any

import pytest

from sam_train.inference.model_card import model_card, numbers_tables, results_of


def test_a_card_says_what_is_not_recorded(tmp_path: Path) -> None:
    description: dict[str, Any] = {
        "model": "tiny",
        "parameters": 1,
        "image_size": 64,
        "config": {},
        "origin": {},
        "opset": 18,
        "files": {},
        "difference": {},
    }
    checkpoint = tmp_path / "model.safetensors"
    card = model_card(description, checkpoint=checkpoint, results={})
    assert card.count("not recorded beside the weights") == 3
    assert "Licence: not stated" in card
    pool = {"_target_": "x", "name": "photos", "count": 3, "sets": {"a": 1}}
    kept = {"config": {"pool": pool, "optim": {"lr": 0.1}}}
    (tmp_path / "model.json").write_text(json.dumps({"origin": kept}))
    card = model_card(description, checkpoint=checkpoint, results={})
    assert 'Data: pool (name "photos", count 3)' in card
    assert "  lr: 0.1" in card


def test_a_card_shows_every_protocol_of_a_report_on_these_weights(tmp_path: Path) -> None:
    checkpoint, report = tmp_path / "model.safetensors", tmp_path / "report.json"
    protocols = {
        "noc": {
            "mean": {"noc_90": 12.5, "sets": 1.0},
            "sets": {"grabcut50": {}},
            "definition": "Clicks.",
        },
        "boxes": {
            "mean": {"ap": 0.25},
            "sets": {"coco": {}},
            "definition": "AP of masks.\n\nMore.",
        },
    }
    report.write_text(json.dumps({"checkpoint_sha256": "abc", "protocols": protocols}))
    lines = list(numbers_tables(results_of(checkpoint, "abc", report)))
    for line in (
        "noc, on grabcut50: Clicks.",
        "| noc_90 | 12.500 |",
        "| sets | 1 |",
        "| ap | 0.250 |",
    ):
        assert line in lines
    assert results_of(checkpoint, "other") == {}
    with pytest.raises(ValueError, match="is of other weights .sha256 abc.* name the report on"):
        results_of(checkpoint, "other", report)
