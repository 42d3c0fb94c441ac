import pytest
import torch

from sam_train.data.rle import encode_mask
from sam_train.data.sets.labeled_image import LabeledImage
from sam_train.evaluation.protocols.replay import ReplayProtocol
from sam_train.evaluation.sets.annotated_image import AnnotatedImage


def point(x: float, y: float, label: int) -> dict:
    return {"type": "point", "coords": [x, y], "label": label, "time_s": 1.0}


BOX = {"type": "box", "coords": [0.0, 0.0, 20.0, 20.0], "label": None, "time_s": 2.0}
BRUSH = {"type": "brush", "coords": [[1.0, 2.0]], "label": 1, "time_s": 9.0}


def recorded(masks: torch.Tensor, *sessions: list[dict]) -> LabeledImage:
    rles = [encode_mask(mask.numpy()) for mask in masks]
    return AnnotatedImage("a", lambda: None, lambda: rles, clicks=lambda: list(sessions))


def test_the_recorded_prompts_are_asked_in_their_order(squares, image_with, painted):
    truth = squares((0, 0, 20, 20))
    model = painted(squares((0, 0, 20, 10), (0, 0, 20, 20))[None], torch.tensor([[0.1, 0.9]]))
    labeled = recorded(truth, [point(5, 6, 1), BRUSH, point(30, 30, 0), BOX])

    (row,) = ReplayProtocol(clicks=(1, 2, 9)).evaluate(model, image_with(truth, labeled=labeled))

    first, second, third = (prompts for prompts, _ in model.asked)
    assert first.point_coords.tolist() == [[[5, 6]]]
    assert second.point_labels.tolist() == [[1, 0]]
    assert third.boxes.tolist() == [[0, 0, 20, 20]]
    assert second.mask_inputs is not None
    assert row["ious"] == pytest.approx([1, 0.5, 0.5])  # three masks are asked of the first alone
    assert (row["iou_after_1"], row["iou_after_9"], row["iou_last"]) == (1, 0.5, 0.5)


def test_masks_without_a_prompt_are_counted_and_not_played(squares, image_with, painted):
    truth = squares((0, 0, 20, 20), (30, 30, 40, 40))
    labeled = recorded(truth, [point(5, 6, 1)], [BRUSH])
    protocol = ReplayProtocol()

    rows = protocol.evaluate(painted(truth[:1, None]), image_with(truth, labeled=labeled))
    table = protocol.summarise(rows)

    assert (table["masks"], table["without_prompts"]) == (1, 1)
    assert table["iou_last"] == 1
