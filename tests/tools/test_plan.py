"""The plan's formulas against the published counts, torch's own counter and the paper's cost."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from sam_train.modeling.image_encoder import ImageEncoderViT
from sam_train.settings.headings import CONFIGS
from tools.plan import lines
from tools.planning.estimate import Need, need
from tools.planning.flops import Vit, image_flops, sam_weights

VIT_B = Vit(768, 12, 12, 4, 1024)


def planned(*overrides: str) -> tuple[Need, str]:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = compose("plan", ["experiment=sa1b_vit_h", *overrides])
    values = OmegaConf.to_container(cfg, resolve=True)
    found = need(values)
    return found, "\n".join(lines(found, values))


def test_weights_are_the_published_counts() -> None:
    assert VIT_B.weights() == 89_670_912
    assert sam_weights(VIT_B, 2) == 93_735_472
    assert sam_weights(Vit(1024, 24, 16, 4, 1024), 2) == 312_342_832


def test_the_products_of_the_encoder_are_those_that_torch_counts() -> None:
    vit = Vit(96, 4, 3, 2, 448)  # small, with windows that are filled up
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        encoder = ImageEncoderViT(448, 96, depth=4, num_heads=3, global_attn_indexes=(1, 3))
        encoder(torch.zeros(1, 3, 448, 448))

    assert counter.get_total_flops() == pytest.approx(2 * vit.products(), rel=0.02)


def test_an_image_of_the_paper_is_mostly_its_encoder() -> None:
    vit_h = Vit(1280, 32, 16, 4, 1024)

    assert vit_h.products() == pytest.approx(2.98e12, rel=0.01)  # as it is quoted
    without = image_flops(vit_h, layers=2, prompts=0.0, recomputed=False)
    assert without == pytest.approx(6 * vit_h.products())


def test_the_papers_training_takes_the_papers_time_and_energy() -> None:
    found, text = planned("gpus=256")

    assert found.hours == pytest.approx(68, rel=0.01)
    assert found.kilowatt_hours == pytest.approx(6963, rel=0.01)
    assert "94.1 images/s, 0.37 on each GPU" in text


def test_a_given_throughput_decides_and_a_deadline_tells_the_gpus() -> None:
    found, text = planned(
        "gpus=8", "data.batch_size=32", "gpu=h200", "images_per_s=1.5", "hours=100"
    )

    assert found.hours == pytest.approx(90_000 * 256 / 12 / 3600)
    assert "in 100 h it takes 64.0 images/s, 8.00 on each GPU: 5.3 times this, or 43 such" in text


def test_other_encoders_have_no_formula() -> None:
    with pytest.raises(ValueError, match="formulas are for vit_b, vit_l, vit_h"):
        planned("model=tiny")
