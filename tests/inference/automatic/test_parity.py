"""Our automatic masks and the official ones, on the same answers of a decoder, in many settings."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import segment_anything
import torch
from torch import Tensor, nn

from sam_train import SamAutomaticMaskGenerator
from sam_train.inference.automatic import candidates
from sam_train.modeling.sam import Sam

SIDE, LOW_RES = 128, 32
EVERYTHING = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}


class Clicks(nn.Module):
    """A prompt encoder that hands the clicks on."""

    def forward(self, points: Any, boxes: None, masks: None, **_: Any) -> tuple[Tensor, Tensor]:
        return points[0], points[0]

    def get_dense_pe(self) -> Tensor:
        return torch.zeros(1)


class NoEncoder(nn.Module):
    img_size = SIDE

    def forward(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), 1, 1, 1)


class Answers(nn.Module):
    """Low-resolution logits by a function of the distance (N, h, w) to each click."""

    def __init__(self, shapes: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.shapes = shapes

    def forward(self, sparse_prompt_embeddings: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
        clicks = sparse_prompt_embeddings[:, 0].float() / 4 - 0.5
        cells = torch.arange(LOW_RES)
        x, y = cells - clicks[:, 0, None], cells - clicks[:, 1, None]
        logits = self.shapes(x[:, None, :], y[:, :, None])  # (N, h, w)
        logits = torch.stack([logits, 1.5 * logits - 2, 0.5 * logits + 1], dim=1)
        return logits, 0.88 + 0.04 * torch.sin(clicks.sum(1)[:, None] * torch.arange(1, 4))


def discs(x: Tensor, y: Tensor) -> Tensor:
    return 30 * (4 - (x.square() + y.square()).sqrt())


def frayed(x: Tensor, y: Tensor) -> Tensor:
    return 8 - 1.5 * (x.abs() + y.abs()) + 4 * torch.sin(2.1 * x) * torch.cos(1.7 * y)


def stripes(x: Tensor, y: Tensor) -> Tensor:
    return 10 * torch.sin(0.6 * x) + 0 * y


def half_planes(x: Tensor, y: Tensor) -> Tensor:
    return 2 * (x - 0.3 * y) + 1


def specks(x: Tensor, y: Tensor) -> Tensor:
    return 1.2 - 6 * (x.square() + y.square())


def tiny_logits(x: Tensor, y: Tensor) -> Tensor:
    return 1e-6 * frayed(x, y)


def everywhere(x: Tensor, y: Tensor) -> Tensor:
    return 5 + 0 * x * y


def nowhere(x: Tensor, y: Tensor) -> Tensor:
    return -9 + 0 * x * y


CASES: list[tuple[Callable[[Tensor, Tensor], Tensor], tuple[int, int], dict[str, Any]]] = [
    (discs, (96, 128), {}),
    (discs, (173, 211), {"crop_n_layers": 1}),
    (discs, (300, 97), {"crop_n_layers": 2, "crop_n_points_downscale_factor": 2}),
    (discs, (400, 600), {"points_per_batch": 5}),
    (discs, (31, 30), EVERYTHING),
    (frayed, (128, 128), {"stability_score_thresh": 0.5}),
    (frayed, (217, 333), {"stability_score_thresh": 0.3, "stability_score_offset": 0.3}),
    (frayed, (150, 100), {"min_mask_region_area": 60, "stability_score_thresh": 0.2}),
    (frayed, (211, 160), EVERYTHING | {"crop_n_layers": 1, "min_mask_region_area": 25}),
    (frayed, (64, 64), EVERYTHING | {"stability_score_offset": 0.0}),
    (frayed, (150, 90), EVERYTHING | {"stability_score_offset": 1e6}),
    (stripes, (128, 300), {"pred_iou_thresh": 0.9, "stability_score_thresh": 0.7}),
    (stripes, (257, 129), EVERYTHING),
    (half_planes, (129, 191), {"stability_score_thresh": 0.9}),
    (half_planes, (191, 129), EVERYTHING | {"crop_n_layers": 1}),
    (specks, (128, 128), EVERYTHING),
    (specks, (40, 60), EVERYTHING),
    (specks, (220, 220), EVERYTHING | {"min_mask_region_area": 3}),
    (tiny_logits, (140, 260), EVERYTHING),
    (tiny_logits, (128, 96), EVERYTHING | {"stability_score_offset": 1e-6}),
    (everywhere, (100, 177), {}),
    (everywhere, (100, 177), {"crop_n_layers": 1, "min_mask_region_area": 10}),
    (nowhere, (90, 70), EVERYTHING),
    (discs, (16, 500), EVERYTHING),
    (discs, (129, 1), EVERYTHING),
]


@pytest.mark.parametrize(("shapes", "size", "settings"), CASES)
def test_masks_equal_the_official_ones(
    shapes: Callable[[Tensor, Tensor], Tensor], size: tuple[int, int], settings: dict[str, Any]
) -> None:
    parts: Any = (NoEncoder(), Clicks(), Answers(shapes))
    sam, peer = Sam(*parts).eval(), segment_anything.modeling.Sam(*parts).eval()
    image = np.zeros((*size, 3), np.uint8)
    settings = {"points_per_side": 6, "output_mode": "uncompressed_rle"} | settings
    ours = SamAutomaticMaskGenerator(sam, **settings).generate(image)
    official = segment_anything.SamAutomaticMaskGenerator(peer, **settings).generate(image)
    assert ours or shapes is everywhere
    np.testing.assert_equal(ours, official)


@pytest.mark.parametrize(("shapes", "size", "settings"), CASES[:9])
def test_masks_with_long_outlines_wait_as_run_lengths(
    shapes: Callable[[Tensor, Tensor], Tensor],
    size: tuple[int, int],
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(candidates, "MAX_OUTLINE_BYTES", 0)
    test_masks_equal_the_official_ones(shapes, size, settings)


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan")])
def test_logits_that_are_not_finite_are_refused(value: float) -> None:
    sam = Sam(NoEncoder(), Clicks(), Answers(lambda x, y: discs(x, y) + value)).eval()
    with pytest.raises(ValueError, match="NaN or infinite logits"):
        SamAutomaticMaskGenerator(sam, **EVERYTHING).generate(np.zeros((90, 70, 3), np.uint8))
