"""Edges, proposals, boxes and automatic masks with painted answers and values by hand."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch

from sam_train.data.rle import encode_mask
from sam_train.evaluation.measures.summary import summarise
from sam_train.evaluation.models.segmenter import Answer
from sam_train.evaluation.protocols.automatic import AutomaticProtocol, compared, panoptic_pairs
from sam_train.evaluation.protocols.boxes import (
    BoxProtocol,
    as_bits,
    counted_detections,
    from_bits,
)
from sam_train.evaluation.protocols.edges import EdgeProtocol
from sam_train.evaluation.protocols.grid import grid_masks
from sam_train.evaluation.protocols.proposals import ProposalProtocol
from sam_train.evaluation.sets.annotated_image import AnnotatedImage, Detection, Instance


class RegionSegmenter:
    """Answers a point with the painted mask that it lies in, a box with the one it overlaps."""

    def __init__(self, masks: torch.Tensor, scores: list[float]) -> None:
        self.masks = masks
        self.scores = torch.tensor(scores)
        self.asked: list = []

    def set_image(self, image: np.ndarray) -> None: ...

    def answer(self, prompts, *, multimask_output: bool) -> Answer:
        self.asked.append(prompts)
        if prompts.boxes is not None:
            x, y = ((prompts.boxes[:, :2] + prompts.boxes[:, 2:]) / 2).long().unbind(1)
        else:
            x, y = prompts.point_coords[:, 0].long().unbind(1)
        inside = self.masks[:, y, x].T  # (prompts, masks)
        which = inside.int().argmax(1)
        masks = self.masks[which] & inside.any(1)[:, None, None]
        return Answer(masks[:, None].float() * 20 - 10, self.scores[which][:, None])

    def enlarge(self, low_res_logits: torch.Tensor) -> torch.Tensor:
        return low_res_logits


def known_image(masks: torch.Tensor, **parts) -> AnnotatedImage:
    rles = [encode_mask(mask.numpy()) for mask in masks]
    image = np.zeros((*masks.shape[1:], 3), np.uint8)
    return AnnotatedImage("a", lambda: image, lambda: rles, **parts)


def test_a_grid_finds_every_mask_once(squares):
    masks = squares((0, 0, 30, 30), (34, 34, 64, 64))

    found = grid_masks(
        RegionSegmenter(masks, [0.5, 0.9]), (64, 64), points_per_side=8, nms_thresh=0.7
    )

    assert len(found) == 2
    assert found.iou_pred.tolist() == pytest.approx([0.9, 0.5])
    assert torch.equal(found.low_res_logits > 0, masks[[1, 0]])


def test_edges_of_a_square_are_found_where_they_were_drawn(squares, image_with):
    masks = squares((16, 16, 48, 48))
    drawing = np.zeros((64, 64), bool)
    drawing[15, 15:49] = drawing[48, 15:49] = drawing[15:49, 15] = drawing[15:49, 48] = True
    labeled = known_image(masks, boundaries=lambda: [drawing])
    protocol = EdgeProtocol(points_per_side=8)

    rows = protocol.evaluate(RegionSegmenter(masks, [0.9]), image_with(masks, labeled=labeled))
    scores = protocol.summarise(rows)

    assert rows[0]["drawn"] == 4 * 33
    assert scores["ods"] > 0.9
    assert scores["ois"] >= scores["ods"] - 1e-9


def test_the_floor_of_edges_needs_no_model(squares, image_with):
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = 200
    drawing = np.zeros((64, 64), bool)
    drawing[:, 31] = True
    labeled = known_image(squares((0, 0, 32, 64)), boundaries=lambda: [drawing])
    evaluated = dataclasses.replace(
        image_with(squares((0, 0, 32, 64)), labeled=labeled), image=image
    )
    protocol = EdgeProtocol(grey_sigma=0.0)

    scores = protocol.summarise(protocol.evaluate(RegionSegmenter(squares(), []), evaluated))

    # Sobel of a step is equal on both of its columns. Both stay, only one was drawn: precision 1/2.
    # Nothing is found in the outermost row or column.
    assert scores["ods_precision"] == pytest.approx(0.5, abs=0.02)
    assert scores["ods_recall"] > 0.9


def test_a_set_without_boundaries_is_refused(squares, image_with):
    masks = squares((16, 16, 48, 48))
    image = image_with(masks, labeled=known_image(masks))

    with pytest.raises(ValueError, match="knows no boundaries"):
        EdgeProtocol().evaluate(RegionSegmenter(masks, [0.9]), image)


def test_average_recall_by_size_and_frequency(squares, image_with):
    masks = squares((0, 0, 10, 10), (20, 20, 62, 62))
    truth = squares((0, 0, 10, 8), (20, 20, 62, 62), (50, 0, 64, 10))  # IoU .8, 1, none
    instances = [
        Instance(1, encode_mask(mask.numpy()), float(mask.sum()), frequency=letter)
        for mask, letter in zip(truth, "rfr", strict=True)
    ]
    labeled = known_image(truth, instances=lambda: instances)
    protocol = ProposalProtocol(points_per_side=8)

    rows = protocol.evaluate(RegionSegmenter(masks, [0.5, 0.9]), image_with(truth, labeled=labeled))
    table = protocol.summarise([{"set": "s", **row} for row in rows])

    # .8 reaches seven of ten thresholds (.50 to .80).
    assert [row["ar"] for row in rows] == pytest.approx([0.7, 1.0, 0.0])
    assert table["ar"] == pytest.approx(1.7 / 3)
    assert table["ar_small"] == pytest.approx(0.35)
    assert table["ar_medium"] == pytest.approx(1)
    assert table["ar_rare"] == pytest.approx(0.35)
    assert table["ar_frequent"] == pytest.approx(1)
    assert "ar_large" not in table
    assert table["proposals"] == 2


def test_at_most_so_many_masks_are_proposed(squares, image_with):
    masks = squares((0, 0, 10, 10), (20, 20, 62, 62))

    rows = ProposalProtocol(points_per_side=8, max_proposals=1).evaluate(
        RegionSegmenter(masks, [0.5, 0.9]), image_with(masks)
    )

    assert [row["ar"] for row in rows] == [0, 1]  # the surer one stays


def box_image(squares, image_with, detections: list[Detection], **parts):
    truth = squares((0, 0, 20, 20), (30, 30, 60, 60))
    instances = [
        Instance(category, encode_mask(mask.numpy()), float(mask.sum()))
        for category, mask in enumerate(truth)
    ]
    parts |= {"instances": lambda: instances, "detections": lambda: detections}
    return truth, image_with(truth, labeled=known_image(truth, **parts))


RIGHT = Detection(0, (0.0, 0.0, 20.0, 20.0), 0.8)
WRONG = Detection(0, (30.0, 30.0, 60.0, 60.0), 0.9)
OTHER = Detection(1, (30.0, 30.0, 60.0, 60.0), 0.5)


def test_ap_of_given_boxes(squares, image_with):
    truth, image = box_image(squares, image_with, [RIGHT, WRONG, OTHER])
    model = RegionSegmenter(truth, [0.9, 0.9])

    scores = BoxProtocol().summarise(BoxProtocol().evaluate(model, image))

    # Category 0: wrong first, then right: precision 1/2 everywhere. Category 1: perfect.
    assert scores["ap"] == pytest.approx((0.5 + 1) / 2)
    assert scores["ap_small"] == pytest.approx(0.75)
    assert "ap_large" not in scores
    assert scores["objects"] == 2


def test_the_mask_goes_back_in_with_its_box(squares, image_with):
    truth, image = box_image(squares, image_with, [RIGHT])
    model = RegionSegmenter(truth, [0.9, 0.9])

    BoxProtocol().evaluate(model, image)
    BoxProtocol(refine=False).evaluate(model, image)

    assert [prompts.mask_inputs is not None for prompts in model.asked] == [False, True, False]


def test_lvis_counts_a_category_only_where_it_was_looked_for(squares, image_with):
    unknown = Detection(7, (0.0, 0.0, 20.0, 20.0), 0.99)
    truth, image = box_image(squares, image_with, [RIGHT, OTHER, unknown], absent=frozenset())
    _, negative = box_image(squares, image_with, [unknown], absent=frozenset({7}))
    model = RegionSegmenter(truth, [0.9, 0.9])

    assert {row["category"] for row in BoxProtocol().evaluate(model, image)} == {0, 1}
    assert {row["category"] for row in BoxProtocol().evaluate(model, negative)} == {0, 1, 7}


def test_coco_takes_100_detections_of_a_category_and_lvis_300_of_an_image(squares, image_with):
    many = [Detection(category, (0.0, 0.0, 20.0, 20.0), 0.5) for category in [0] * 250 + [1] * 110]
    _, coco = box_image(squares, image_with, many)
    _, lvis = box_image(squares, image_with, many, absent=frozenset())

    for image, expected in ((coco, [100, 100]), (lvis, [250, 50])):
        labeled = image.labeled
        counted = counted_detections(labeled.detections(), labeled.instances(), labeled)
        assert [sum(d.category == c for d in counted) for c in (0, 1)] == expected


def test_what_is_not_annotated_exhaustively_makes_no_false_positive(squares, image_with):
    truth, image = box_image(
        squares, image_with, [RIGHT, WRONG], absent=frozenset(), not_exhaustive=frozenset({0})
    )
    rows = BoxProtocol().evaluate(RegionSegmenter(truth, [0.9, 0.9]), image)

    assert BoxProtocol().summarise(rows)["ap_50"] == pytest.approx(0.5)  # category 1 has none
    assert BoxProtocol().summarise(rows[:1])["ap"] == pytest.approx(1)


def test_flags_survive_as_bits():
    flags = np.random.default_rng(0).random((10, 7)) > 0.5

    assert np.array_equal(from_bits(as_bits(flags)), flags)
    assert from_bits([]).shape == (10, 0)


def test_panoptic_quality_by_hand(squares):
    known = [m.numpy() for m in squares((0, 0, 20, 20), (30, 30, 50, 50), (0, 40, 10, 50))]
    found = [m.numpy() for m in squares((0, 0, 20, 15), (30, 30, 38, 50), (55, 0, 60, 5))]

    pairs = panoptic_pairs(found, known)

    # .75 is a pair; .4 is none (one wrong, one missed); outside of all known masks nothing counts.
    assert pairs == {"tp": 1, "fp": 1, "fn": 2, "matched_iou": pytest.approx(0.75)}


def test_the_smallest_known_mask_and_the_surest_found_one_lie_on_top(squares):
    whole, part = (m.numpy() for m in squares((0, 0, 40, 40), (10, 10, 20, 20)))

    assert panoptic_pairs([part, whole], [whole, part])["tp"] == 2
    assert panoptic_pairs([whole, part], [whole, part])["tp"] == 1  # the whole hides its part


def test_automatic_masks_are_filtered_and_compared(squares, image_with):
    masks = squares((0, 0, 30, 30), (34, 34, 64, 64))
    model = RegionSegmenter(masks, [0.6, 0.95])
    protocol = AutomaticProtocol(points_per_side=8)

    rows = [{"set": "s", **row} for row in protocol.evaluate(model, image_with(masks))]
    mean = summarise(rows, protocol.summarise)["mean"]

    assert mean["masks"] == 1  # the other is not sure enough
    assert mean["recall_50"] == mean["ar"] == pytest.approx(0.5)
    assert mean["pq"] == pytest.approx(1 / 1.5)
    assert mean["calibration_error"] == pytest.approx(0.05)


def test_an_image_without_masks_is_no_error():
    blank = np.zeros((8, 8), bool)

    assert compared([], [], [])["tp"] == 0
    assert compared([], [], [~blank])["recalled"] == [0]
    assert partial(compared, [~blank], [0.5])([])["true"] == [0.0]
