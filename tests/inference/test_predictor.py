from typing import Any

import numpy as np
import pytest
import segment_anything
import torch
from torch import nn

from sam_train import SamAutomaticMaskGenerator, SamPredictor
from sam_train.inference.predictor import check_prompt_shapes

POINT = {"point_coords": np.array([[90, 70]]), "point_labels": np.array([1])}
POINTS = {
    "point_coords": np.array([[90.5, 70.25], [20, 160], [3, 5]]),
    "point_labels": np.array([1, 0, 1]),
}
BOX = {"box": np.array([40, 30, 150, 120])}
MASK = {"mask_input": np.random.default_rng(1).normal(0, 4, (1, 32, 32)).astype(np.float32)}


@pytest.fixture(scope="module")
def predictor(sam: nn.Module, photo: np.ndarray) -> SamPredictor:
    predictor = SamPredictor(sam)
    predictor.set_image(photo)
    return predictor


@pytest.fixture(scope="module")
def official(official_sam: nn.Module, photo: np.ndarray) -> segment_anything.SamPredictor:
    official = segment_anything.SamPredictor(official_sam)
    official.set_image(photo)
    return official


@pytest.mark.parametrize("multimask_output", [True, False])
@pytest.mark.parametrize(
    "prompt",
    [POINT, POINTS, BOX, MASK, POINTS | BOX, POINT | MASK, POINTS | BOX | MASK, {}],
    ids=["point", "points", "box", "mask", "points+box", "point+mask", "all", "nothing"],
)
def test_predictions_equal_the_official_ones(
    predictor: SamPredictor,
    official: segment_anything.SamPredictor,
    prompt: dict[str, Any],
    multimask_output: bool,
) -> None:
    settings = {"multimask_output": multimask_output, "return_logits": True}
    ours, expected = (p.predict(**prompt, **settings) for p in (predictor, official))
    for output, answer in zip(ours, expected, strict=True):
        assert (output.shape, output.dtype) == (answer.shape, answer.dtype)
        np.testing.assert_allclose(output, answer, rtol=1e-4, atol=1e-4 * np.abs(answer).max())


def test_masks_are_boolean_and_of_the_original_size(
    predictor: SamPredictor, photo: np.ndarray
) -> None:
    masks, scores, logits = predictor.predict(**POINT)
    assert masks.dtype == bool
    assert (masks.shape, scores.shape, logits.shape) == ((3, *photo.shape[:2]), (3,), (3, 32, 32))


def test_several_boxes_at_once_equal_one_by_one(predictor: SamPredictor) -> None:
    boxes = np.array([[40, 30, 150, 120], [0, 0, 50, 50]])
    transformed = predictor.transform.apply_boxes_torch(
        torch.from_numpy(boxes), predictor.original_size
    )
    together, _, _ = predictor.predict_torch(None, None, transformed, return_logits=True)
    for masks, box in zip(together, boxes, strict=True):
        alone, _, _ = predictor.predict(box=box, return_logits=True)
        np.testing.assert_allclose(masks.numpy(), alone, atol=1e-3)


def test_a_box_may_have_a_leading_axis_as_in_the_official_notebook(
    predictor: SamPredictor,
) -> None:
    flat, nested = (predictor.predict(box=box) for box in (BOX["box"], BOX["box"][None]))
    np.testing.assert_equal(nested, flat)


def test_bgr_images_are_turned_round(sam: nn.Module, photo: np.ndarray) -> None:
    predictor = SamPredictor(sam)
    predictor.set_image(photo)
    rgb = predictor.get_image_embedding()
    predictor.set_image(photo[..., ::-1], image_format="BGR")
    assert torch.equal(predictor.get_image_embedding(), rgb)


def test_the_attributes_follow_the_image(sam: nn.Module, photo: np.ndarray) -> None:
    predictor = SamPredictor(sam)
    assert not predictor.is_image_set
    predictor.set_image(photo)
    assert predictor.is_image_set
    assert (predictor.original_size, predictor.input_size) == ((173, 211), (105, 128))
    assert (predictor.orig_h, predictor.orig_w) == (173, 211)
    predictor.reset_image()
    assert predictor.features is None
    assert not predictor.is_image_set


def test_prediction_before_an_image_is_refused(sam: nn.Module) -> None:
    predictor = SamPredictor(sam)
    for call in (lambda: predictor.predict(**POINT), predictor.get_image_embedding):
        with pytest.raises(RuntimeError, match="must be set with .set_image"):
            call()


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ({"point_coords": np.array([[1, 2]])}, "must be given together"),
        ({"point_labels": np.array([1])}, "must be given together"),
        ({"point_coords": np.array([1, 2]), "point_labels": np.array([1])}, r"not \(2,\)"),
        ({"point_coords": np.array([[1, 2]]), "point_labels": np.array([1, 0])}, r"with \(2,\)"),
        ({"point_coords": np.array([[1, 2]]), "point_labels": np.array([7])}, r"not \[7\]"),
        ({"point_coords": np.array([[1, np.nan]]), "point_labels": np.array([1])}, "finite"),
        ({"point_coords": [["a", "b"]], "point_labels": [1]}, "must hold real numbers"),
        ({"point_coords": [[1, 2]], "point_labels": [np.nan]}, "finite"),
        ({"box": np.array([1, 2, np.inf, 4])}, "box must be finite"),
        ({"mask_input": np.full((1, 32, 32), np.nan)}, "mask_input must be finite"),
        ({"box": np.zeros((3, 4))}, "use predict_torch for several"),
        ({"mask_input": np.zeros((1, 256, 256))}, r"\(1, 32, 32\), not \(1, 256, 256\)"),
    ],
)
def test_a_prompt_that_cannot_be_meant_is_refused(
    predictor: SamPredictor, prompt: dict[str, np.ndarray], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        predictor.predict(**prompt)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((20, 30), np.uint8),
        np.zeros((20, 30, 4), np.uint8),
        np.zeros((20, 30, 3), np.float32),
        np.zeros((0, 30, 3), np.uint8),
    ],
)
def test_an_array_that_is_no_image_is_refused(sam: nn.Module, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be a uint8 array of shape"):
        SamPredictor(sam).set_image(image)


def test_unknown_channel_orders_and_wrong_frames_are_refused(
    sam: nn.Module, photo: np.ndarray
) -> None:
    with pytest.raises(ValueError, match="RGB or BGR, not 'HSV'"):
        SamPredictor(sam).set_image(photo, image_format="HSV")
    with pytest.raises(ValueError, match="longest side is 128"):
        SamPredictor(sam).set_torch_image(torch.zeros(1, 3, 64, 64), (64, 64))


def test_prompts_may_be_lists(predictor: SamPredictor) -> None:
    from_lists = predictor.predict([[3, 4]], [1], [1, 2, 30, 40])
    from_arrays = predictor.predict(np.array([[3, 4]]), np.array([1]), np.array([1, 2, 30, 40]))

    np.testing.assert_array_equal(from_lists[2], from_arrays[2])


@pytest.mark.parametrize(
    "prompts",
    [
        (torch.zeros(2, 1, 2), torch.ones(1, 1), None),
        (torch.zeros(1, 1, 2), None, None),
        (None, None, torch.zeros(4)),
        (torch.zeros(2, 1, 2), torch.ones(2, 1), torch.zeros(3, 4)),
    ],
)
def test_prompts_of_other_numbers_of_objects_are_refused(prompts: tuple) -> None:
    with pytest.raises(ValueError, match="prompts of N objects"):
        check_prompt_shapes(*prompts)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (2, 3000)])
def test_thin_images_have_masks_too(sam: nn.Module, size: tuple[int, int]) -> None:
    predictor = SamPredictor(sam)
    predictor.set_image(np.full((*size, 3), 90, np.uint8))
    masks, _, _ = predictor.predict([[0, 0]], [1])

    assert masks.shape == (3, *size)


def test_a_refused_image_leaves_none(predictor: SamPredictor) -> None:
    with pytest.raises(ValueError, match="must be a uint8 array"):
        predictor.set_image(np.zeros((20, 30), np.uint8))
    with pytest.raises(RuntimeError, match="must be set"):
        predictor.predict([[0, 0]], [1])


@pytest.mark.parametrize("take", [SamPredictor, SamAutomaticMaskGenerator])
def test_a_network_of_the_package_is_refused_with_the_way_to_ours(
    official_sam: nn.Module, take: type
) -> None:
    with pytest.raises(TypeError, match=r"not segment_anything.*state_dict.*checkpoint="):
        take(official_sam)
