from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sam_train.data.rle import encode_mask
from sam_train.data.sets.image_sets import SceneSet
from sam_train.evaluation import clicks
from sam_train.evaluation.clicks import (
    ClickProtocol,
    click_rounds,
    evaluate_clicks,
    evaluate_image,
)
from sam_train.evaluation.datasets import EvaluatedImage
from sam_train.inference.predictor import SamPredictor
from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.sam import Sam

SIDE = 64


@pytest.fixture(scope="module")
def sam() -> Sam:
    torch.manual_seed(0)
    return build_sam_tiny(image_size=SIDE)


class PaintedPredictor(SamPredictor):
    """Answers every prompt with the painted candidates, whatever the image, and keeps the prompts.

    `candidates` (N, M, H, W) and `iou_pred` (N, M); a single mask is the first candidate.
    """

    def paint(self, candidates: Tensor, iou_pred: Tensor) -> "PaintedPredictor":
        self.candidates, self.iou_pred = candidates, iou_pred
        self.asked: list[dict[str, Any]] = []
        return self

    def set_image(self, image: np.ndarray, image_format: str = "RGB") -> None:
        self.original_size = image.shape[:2]

    def predict_torch(self, *args: Any, **prompt: Any) -> tuple[Tensor, Tensor, Tensor]:
        self.asked.append(prompt)
        count = self.candidates.shape[1] if prompt["multimask_output"] else 1
        low_res_logits = self.candidates[:, :count, ::4, ::4].float()
        return self.candidates[:, :count], self.iou_pred[:, :count], low_res_logits


def squares(*boxes: tuple[int, int, int, int]) -> Tensor:
    masks = torch.zeros(len(boxes), SIDE, SIDE, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def rows_of(predictor: SamPredictor, gt_masks: Tensor, **protocol: Any) -> list[dict]:
    masks = {index: encode_mask(mask.numpy()) for index, mask in enumerate(gt_masks)}
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    evaluated = EvaluatedImage("a", image, masks)
    return list(evaluate_image(predictor, evaluated, ClickProtocol(**protocol)))


def test_a_perfect_model_scores_one_everywhere(sam):
    gt_masks = squares((4, 4, 20, 30), (40, 8, 60, 16))
    predictor = PaintedPredictor(sam).paint(gt_masks[:, None], torch.ones(2, 1))

    for row in rows_of(predictor, gt_masks):
        ious = {name for name in row if name.startswith("iou") or name == "oracle_at_1"}
        assert ious == {*(f"iou_at_{n}" for n in (1, 2, 3, 5, 9)), "oracle_at_1", "iou_box"}
        assert {row[name] for name in ious} == {1.0}
        assert row["empty_at_1"] == 0


def test_the_most_confident_candidate_counts_and_the_oracle_is_the_best(sam):
    gt_masks = squares((0, 0, 10, 10))
    candidates = squares((0, 0, 10, 20), (0, 0, 10, 10), (0, 0, 10, 40))[None]
    predictor = PaintedPredictor(sam).paint(candidates, torch.tensor([[0.2, 0.1, 0.7]]))

    (row,) = rows_of(predictor, gt_masks, clicks=(1, 2))

    assert row["iou_at_1"] == pytest.approx(1 / 4)  # the third candidate
    assert row["oracle_at_1"] == 1
    assert row["iou_at_2"] == pytest.approx(1 / 2)  # two clicks ask for the single mask
    assert row["iou_box"] == pytest.approx(1 / 4)


def test_a_box_may_ask_for_a_single_mask(sam):
    candidates = squares((0, 0, 10, 20), (0, 0, 10, 10))[None]
    predictor = PaintedPredictor(sam).paint(candidates, torch.tensor([[0.1, 0.9]]))

    (row,) = rows_of(predictor, squares((0, 0, 10, 10)), box_multimask_output=False)

    assert row["iou_box"] == pytest.approx(1 / 2)


def test_of_equally_confident_candidates_the_first_counts(sam):
    candidates = squares((0, 0, 10, 20), (0, 0, 10, 10))[None]
    predictor = PaintedPredictor(sam).paint(candidates, torch.tensor([[0.5, 0.5]]))

    (row,) = rows_of(predictor, squares((0, 0, 10, 10)))

    assert row["iou_at_1"] == pytest.approx(1 / 2)


def test_an_empty_prediction_is_counted(sam):
    nothing = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.bool)
    predictor = PaintedPredictor(sam).paint(nothing, torch.ones(1, 1))

    (row,) = rows_of(predictor, squares((0, 0, 10, 10)))

    assert (row["empty_at_1"], row["iou_at_1"], row["oracle_at_1"]) == (1, 0, 0)


def test_clicks_go_to_the_middle_of_the_object_then_of_the_error(sam):
    gt_masks = squares((0, 0, 11, 11))
    predictor = PaintedPredictor(sam).paint(squares((20, 30, 41, 51))[None], torch.ones(1, 1))
    predictor.original_size = (SIDE, SIDE)

    *_, last = click_rounds(predictor, gt_masks, 2)

    assert last.point_coords.tolist() == [[[5, 5], [30, 40]]]
    assert last.point_labels.tolist() == [[1, 0]]


def test_the_logits_of_the_most_confident_mask_are_fed_back(sam):
    candidates = squares((0, 0, 10, 20), (0, 0, 10, 10))[None]
    predictor = PaintedPredictor(sam).paint(candidates, torch.tensor([[0.1, 0.9]]))

    list(click_rounds(predictor, squares((0, 0, 8, 8)), 2))

    first, second = predictor.asked
    assert first["mask_input"] is None
    assert torch.equal(second["mask_input"][:, 0], candidates[:, 1, ::4, ::4].float())


def test_masks_are_the_same_alone_and_together(sam, monkeypatch):
    scenes = [SceneSet("scenes", 2, image_size=96)]
    options = {"clicks": (1, 2), "max_masks_per_image": 3}
    together = evaluate_clicks(sam, scenes, **options)
    monkeypatch.setattr(clicks, "PROMPTS_PER_BATCH", 1)
    alone = evaluate_clicks(sam, scenes, **options)

    assert len(together) == len(alone) == 6
    for one, other in zip(together, alone, strict=True):
        assert one.keys() == other.keys()
        numbers = {key: value for key, value in one.items() if not isinstance(value, str)}
        assert numbers == pytest.approx({key: other[key] for key in numbers}, abs=1e-3)
