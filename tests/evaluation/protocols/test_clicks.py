import pytest
import torch

from sam_train.data.scenes import SceneSet
from sam_train.evaluation.models.sam import SamSegmenter
from sam_train.evaluation.protocols import rounds
from sam_train.evaluation.protocols.clicks import ClickProtocol
from sam_train.evaluation.sets.sampling import evaluated_images
from sam_train.inference.predictor import SamPredictor
from sam_train.modeling.build import build_sam_tiny


def test_a_perfect_model_scores_one_everywhere(squares, image_with, painted):
    truth = squares((4, 4, 20, 30), (40, 8, 60, 16))

    for row in ClickProtocol().evaluate(painted(truth[:, None]), image_with(truth)):
        ious = {name for name in row if "iou_" in name and not name.startswith("predicted")}
        asked = [*(f"at_{n}" for n in (1, 2, 3, 5, 9)), "box", "noisy_box"]
        assert ious == {f"{kind}{name}" for name in asked for kind in ("iou_", "boundary_iou_")}
        assert {row[name] for name in ious} == {1.0}
        assert (row["oracle_at_1"], row["empty_at_1"]) == (1, 0)


def test_the_most_confident_candidate_counts_and_the_oracle_is_the_best(
    squares, image_with, painted
):
    candidates = squares((0, 0, 10, 20), (0, 0, 10, 10), (0, 0, 10, 40))[None]
    model = painted(candidates, torch.tensor([[0.2, 0.1, 0.7]]))

    (row,) = ClickProtocol(clicks=(1, 2)).evaluate(model, image_with(squares((0, 0, 10, 10))))

    assert row["iou_at_1"] == pytest.approx(1 / 4)  # the third candidate
    assert row["predicted_iou_at_1"] == pytest.approx(0.7)
    assert row["oracle_at_1"] == 1
    assert row["iou_at_2"] == pytest.approx(1 / 2)  # two clicks ask for the single mask
    assert row["iou_box"] == pytest.approx(1 / 4)


def test_a_box_may_ask_for_a_single_mask(squares, image_with, painted):
    candidates = squares((0, 0, 10, 20), (0, 0, 10, 10))[None]
    model = painted(candidates, torch.tensor([[0.1, 0.9]]))
    protocol = ClickProtocol(clicks=(1,), box_multimask_output=False)

    (row,) = protocol.evaluate(model, image_with(squares((0, 0, 10, 10))))

    assert row["iou_box"] == pytest.approx(1 / 2)


def test_an_empty_prediction_is_counted(squares, image_with, painted):
    nothing = torch.zeros(1, 1, 64, 64, dtype=torch.bool)

    (row,) = ClickProtocol().evaluate(painted(nothing), image_with(squares((0, 0, 10, 10))))

    assert (row["empty_at_1"], row["iou_at_1"], row["oracle_at_1"]) == (1, 0, 0)


def test_clicks_go_to_the_middle_of_the_object_then_of_the_error(squares, image_with, painted):
    model = painted(squares((20, 30, 41, 51))[None])

    (row,) = ClickProtocol(clicks=(2,)).evaluate(model, image_with(squares((0, 0, 11, 11))))

    assert row["clicks"] == [[5, 5, 1], [30, 40, 0]]


def test_the_logits_of_the_most_confident_mask_are_fed_back(squares, image_with, painted):
    candidates = squares((0, 0, 10, 20), (0, 0, 10, 10))[None]
    model = painted(candidates, torch.tensor([[0.1, 0.9]]))

    ClickProtocol(clicks=(2,)).evaluate(model, image_with(squares((0, 0, 8, 8))))

    (first, _), (second, _), *_ = model.asked
    assert first.mask_inputs is None
    assert torch.equal(second.mask_inputs[:, 0] > 0, candidates[:, 1])


def test_a_random_first_click_lies_in_the_mask_and_stays_there(squares, image_with, painted):
    truth = squares((4, 4, 20, 30), (40, 8, 60, 16))
    protocol = ClickProtocol(clicks=(1,), first_click="random")

    once, again = (protocol.evaluate(painted(truth[:, None]), image_with(truth)) for _ in "ab")

    for mask, row in zip(truth, once, strict=True):
        ((x, y, label),) = row["clicks"]
        assert mask[int(y), int(x)]
        assert label == 1
    assert once == again
    assert [row["clicks"] for row in once] != [[[11, 16, 1]], [[43, 11, 1]]]  # the centres


def test_a_noisy_box_moves_by_a_tenth_of_its_side_at_most_20_pixels(squares, image_with, painted):
    truth = squares(*[(10, 10, 50, 50)] * 40)
    model = painted(truth[:, None])

    ClickProtocol(clicks=(1,)).evaluate(model, image_with(truth))

    *_, (clean, _), (noisy, _) = model.asked
    moved = (noisy.boxes - clean.boxes).abs()
    assert 2 < (noisy.boxes - clean.boxes).std() < 6  # 4 pixels
    assert moved.max() <= 20


def test_ignored_pixels_are_in_no_mask(squares, image_with, painted):
    truth, ignored = squares((0, 0, 10, 10)), squares((0, 10, 10, 20))[0].numpy()
    model = painted(squares((0, 0, 10, 20))[None])

    (row,) = ClickProtocol(clicks=(1,)).evaluate(model, image_with(truth, ignored=ignored))

    assert row["iou_at_1"] == 1


def test_a_mask_of_the_whole_image_is_clicked_in_its_middle(squares, image_with, painted):
    truth = squares((0, 0, 64, 64))
    nothing = torch.zeros(1, 1, 64, 64, dtype=torch.bool)

    (row,) = ClickProtocol(clicks=(1, 2)).evaluate(painted(nothing), image_with(truth))
    (found,) = ClickProtocol(clicks=(1, 2)).evaluate(painted(truth[:, None]), image_with(truth))

    assert row["clicks"][0] == [31, 31, 1]
    assert (row["iou_at_2"], row["box"], found["iou_at_2"], found["boundary_iou_at_1"]) == (
        0,
        1,
        1,
        1,
    )


def test_masks_are_the_same_alone_and_together(monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    model = SamSegmenter(SamPredictor(build_sam_tiny(image_size=64)))
    images = [*evaluated_images(SceneSet("scenes", 2, image_size=96), max_masks_per_image=3)]

    def play() -> list[dict]:
        return [r for image in images for r in ClickProtocol(clicks=(1, 2)).evaluate(model, image)]

    together = play()
    monkeypatch.setattr(rounds, "PROMPTS_PER_BATCH", 1)
    alone = play()

    assert len(together) == len(alone) == 6
    for one, other in zip(together, alone, strict=True):
        numbers = {key: value for key, value in one.items() if isinstance(value, float)}
        assert numbers == pytest.approx({key: other[key] for key in numbers}, abs=1e-3)


def test_a_model_that_answers_nonsense_is_refused(squares, image_with, painted):
    truth = squares((4, 4, 20, 30))
    image = image_with(truth)
    too_small = painted(truth[:, None])
    too_small.enlarge = lambda logits: logits[:, ::2]

    with pytest.raises(ValueError, match="no finite numbers"):
        ClickProtocol().evaluate(painted(truth[:, None], torch.full((1, 1), torch.nan)), image)
    with pytest.raises(ValueError, match="masks of"):
        ClickProtocol().evaluate(too_small, image)
    with pytest.raises(ValueError, match="answers 1 prompts with"):
        ClickProtocol().evaluate(painted(truth[[0, 0], None]), image)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="clicks must be"):
        ClickProtocol(clicks=(0, 1))
