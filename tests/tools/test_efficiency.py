"""The table of what models cost."""

from pathlib import Path

import pytest
import torch

from sam_train.modeling.build import sam_model_registry
from tools.efficiency import Cost, gmacs, main, measure


def test_products_are_counted_once() -> None:
    one, other = torch.randn(10, 20), torch.randn(20, 30)
    assert gmacs(lambda: one @ other) == pytest.approx(10 * 20 * 30 / 1e9)


def test_a_model_is_weighed_timed_and_counted() -> None:
    cost = measure("efficient_sam_ti", "cpu", 1, 64)
    sam = sam_model_registry["efficient_sam_ti"](image_size=64)
    assert cost.parameters == sum(parameter.numel() for parameter in sam.parameters())
    # 16 tokens through 12 blocks of 12 x 192^2 products a token, patches, neck, attention.
    assert cost.encoder_gmacs == pytest.approx(0.1, rel=0.15)
    assert 0 < cost.decoder_gmacs < cost.encoder_gmacs
    assert cost.encoder_ms > 0 and cost.decoder_ms > 0 and cost.peak_mb >= 0


def test_a_row_is_markdown() -> None:
    cost = Cost("tiny", 256, 4_600_000, 1.24, 0.123, 1234.5, 5.678, 12.3)
    assert cost.row() == "| tiny | 256 | 4.6 | 1.2 | 0.12 | 1,234 | 5.7 | 12 |"


def test_unknown_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="efficiency: there is no model vit_g, only tiny"):
        main(["vit_g", "--out", str(tmp_path / "table.md")])
    assert not (tmp_path / "table.md").exists()


@pytest.mark.slow
def test_the_table_is_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["tiny", "mobile_sam", "--image-size", "64", "--out", str(tmp_path / "table.md")])
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| tiny", "| mobile_sam"]
    assert capsys.readouterr().out.splitlines() == lines
