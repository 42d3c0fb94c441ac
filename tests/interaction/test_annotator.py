import pytest
import torch
from torch import Tensor

from sam_train.interaction.annotator import TrainingAnnotator
from sam_train.interaction.prompts import Prompts

IMAGE_SIZE, GRID = 64, 16


def draw_rectangles(count: int) -> Tensor:
    low = torch.randint(0, 8, (count, 2, 1))
    high = low + torch.randint(2, 8, (count, 2, 1))
    line = torch.arange(GRID)
    rows, columns = ((low <= line) & (line <= high)).unbind(1)
    return rows[:, :, None] & columns[:, None]


def annotate(
    annotator: TrainingAnnotator,
    gt_masks: Tensor,
    *,
    prompts: Prompts | None = None,
    logits: Tensor | None = None,
    seeds: Tensor | None = None,
    new_point: bool = True,
) -> Prompts:
    count = len(gt_masks)
    return annotator(
        prompts,
        logits,
        gt_masks=gt_masks,
        seeds=torch.arange(count) if seeds is None else seeds,
        sizes=torch.full((count, 2), GRID),
        image_size=IMAGE_SIZE,
        new_point=new_point,
    )


def cells_of(coords: Tensor) -> Tensor:
    """The mask's cell under each point of the input frame; points lie on cell centres."""
    cells = (coords + 0.5) / (IMAGE_SIZE / GRID) - 0.5
    assert torch.equal(cells, cells.round())
    return cells.long()


def test_the_paper_plays_eleven_rounds_and_the_last_brings_no_point() -> None:
    annotator = TrainingAnnotator()
    for seed in range(50):
        plan = annotator.plan(seed)
        assert (len(plan), sum(plan)) == (11, 9)
        assert plan[0] and not plan[-1]


def test_the_other_round_without_a_point_lies_anywhere_among_the_corrections() -> None:
    annotator = TrainingAnnotator()
    places = [annotator.plan(seed)[:-1].index(False) for seed in range(1800)]
    counts = torch.tensor(places).bincount(minlength=10)
    assert counts[0] == 0
    assert ((counts[1:] - 200).square() / 200).sum() < 26.1  # 8 degrees, p = 0.001


def test_a_plan_depends_on_its_seed_alone() -> None:
    assert TrainingAnnotator().plan(3) == TrainingAnnotator(box_probability=0.0).plan(3)


def test_rounds_can_be_left_out() -> None:
    plan = TrainingAnnotator(num_corrections=2, rounds_without_point=0).plan(0)
    assert plan == [True, True, True]
    assert TrainingAnnotator(num_corrections=0, rounds_without_point=1).plan(0) == [True, False]
    assert TrainingAnnotator(num_corrections=0, rounds_without_point=0).plan(0) == [True]


def test_the_number_of_corrections_can_be_drawn_for_each_step() -> None:
    annotator = TrainingAnnotator(
        num_corrections=2, fewest_corrections=0, rounds_without_point=0, box_probability=0.0
    )
    lengths = torch.tensor([len(annotator.plan(seed)) for seed in range(900)]).bincount()
    assert lengths[0] == 0
    assert ((lengths[1:] - 300).square() / 300).sum() < 13.8  # 2 degrees, p = 0.001


def test_more_fewest_corrections_than_corrections_are_refused() -> None:
    with pytest.raises(ValueError, match="fewest_corrections is 3; it must be from 0 to .* 2"):
        TrainingAnnotator(num_corrections=2, fewest_corrections=3)


def test_rounds_and_odds_that_there_are_not_are_refused() -> None:
    with pytest.raises(ValueError, match="num_corrections is -1; it must be at least 0"):
        TrainingAnnotator(num_corrections=-1)
    with pytest.raises(ValueError, match="box_probability is 2.0; it must be from 0 to 1"):
        TrainingAnnotator(box_probability=2.0)


def test_a_first_point_lies_in_the_mask_and_is_foreground() -> None:
    gt_masks = draw_rectangles(200)
    prompts = annotate(TrainingAnnotator(box_probability=0.0), gt_masks)
    x, y = cells_of(prompts.point_coords[:, 0]).T
    assert gt_masks[torch.arange(200), y, x].all()
    assert (prompts.point_labels == torch.tensor([1, -1])).all()


def test_first_points_are_uniform_over_the_mask() -> None:
    gt_masks = draw_rectangles(1).expand(3000, -1, -1)
    prompts = annotate(TrainingAnnotator(box_probability=0.0), gt_masks)
    x, y = cells_of(prompts.point_coords[:, 0]).T
    counts = (y * GRID + x).bincount(minlength=GRID**2)[gt_masks[0].flatten()]
    expected, freedom = 3000 / len(counts), len(counts) - 1
    chi_square = ((counts - expected).square() / expected).sum()
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5


def test_boxes_without_noise_are_the_outermost_cells_in_the_input_frame() -> None:
    gt_masks = torch.zeros(1, GRID, GRID, dtype=torch.bool)
    gt_masks[0, 2:5, 3:9] = True
    prompts = annotate(TrainingAnnotator(box_probability=1.0, box_noise_std=0.0), gt_masks)
    # Cells 3 to 8 and 2 to 4, four pixels a side, at their centres.
    assert prompts.point_coords.tolist() == [[[13.5, 9.5], [33.5, 17.5]]]
    assert prompts.point_labels.tolist() == [[2, 3]]


def test_box_noise_is_at_most_20_pixels_of_a_1024_pixel_frame() -> None:
    gt_masks = torch.zeros(500, GRID, GRID, dtype=torch.bool)
    gt_masks[:, 3:13, 3:13] = True
    sharp, noisy = (
        annotate(TrainingAnnotator(box_probability=1.0, box_noise_std=std), gt_masks).point_coords
        for std in (0.0, 0.1)
    )
    largest = (noisy - sharp).abs().max()
    torch.testing.assert_close(largest, torch.tensor(20 * IMAGE_SIZE / 1024))


def test_half_of_the_first_prompts_are_boxes() -> None:
    labels = annotate(TrainingAnnotator(), draw_rectangles(2000)).point_labels
    is_box = (labels == torch.tensor([2, 3])).all(1)
    is_point = (labels == torch.tensor([1, -1])).all(1)
    assert (is_box | is_point).all()
    assert abs(is_box.float().mean() - 0.5) < 0.04


def test_a_correction_lies_where_the_prediction_is_wrong() -> None:
    gt_masks, pred_masks = draw_rectangles(200), draw_rectangles(200)
    logits = pred_masks.float() - 0.5
    first = annotate(TrainingAnnotator(), gt_masks)
    prompts = annotate(TrainingAnnotator(), gt_masks, prompts=first, logits=logits)
    x, y = cells_of(prompts.point_coords[:, 2]).T
    error = gt_masks ^ pred_masks
    has_error = error.flatten(1).any(1)
    each = torch.arange(200)
    assert torch.equal(error[each, y, x], has_error)
    expected = torch.where(has_error, gt_masks[each, y, x].long(), -1)
    assert torch.equal(prompts.point_labels[:, 2], expected)
    assert torch.equal(prompts.mask_inputs, logits[:, None])


def test_logits_are_enlarged_to_the_grid_of_the_masks() -> None:
    gt_masks = torch.ones(50, GRID, GRID, dtype=torch.bool)
    logits = torch.ones(50, 4, 4)
    logits[:, :, :2] = -1  # the left half is missed
    first = annotate(TrainingAnnotator(), gt_masks)
    prompts = annotate(TrainingAnnotator(), gt_masks, prompts=first, logits=logits)
    assert (prompts.point_labels[:, 2] == 1).all()
    assert cells_of(prompts.point_coords[:, 2])[:, 0].max() == GRID // 2 - 1


def test_a_round_without_a_point_brings_the_mask_alone() -> None:
    gt_masks, logits = draw_rectangles(3), torch.zeros(3, GRID, GRID)
    first = annotate(TrainingAnnotator(), gt_masks)
    prompts = annotate(TrainingAnnotator(), gt_masks, prompts=first, logits=logits, new_point=False)
    assert torch.equal(prompts.point_coords, first.point_coords)
    assert prompts.has_mask.all()


def test_mask_prompts_can_be_left_out() -> None:
    annotator, gt_masks = TrainingAnnotator(mask_feedback=False), draw_rectangles(3)
    first = annotate(annotator, gt_masks)
    prompts = annotate(annotator, gt_masks, prompts=first, logits=torch.zeros(3, GRID, GRID))
    assert prompts.mask_inputs is None
    assert prompts.point_coords.shape == (3, 3, 2)


def play(gt_masks: Tensor, seeds: Tensor) -> Prompts:
    """Three rounds against predictions that are always empty."""
    empty, prompts = -torch.ones(gt_masks.shape), None
    for logits in (None, empty, empty):
        prompts = annotate(
            TrainingAnnotator(), gt_masks, prompts=prompts, logits=logits, seeds=seeds
        )
    return prompts


def test_prompts_belong_to_the_object_whatever_the_batch() -> None:
    gt_masks, seeds = draw_rectangles(40), torch.randint(-(2**62), 2**62, (40,))
    together = play(gt_masks, seeds)
    for part in (slice(0, 3), slice(3, 40)):
        alone = play(gt_masks[part], seeds[part])
        assert torch.equal(alone.point_coords, together.point_coords[part])
        assert torch.equal(alone.point_labels, together.point_labels[part])


def test_the_draws_of_all_rounds_are_independent() -> None:
    # Of a full mask, the row of a click and the noise of a box are their draws, monotonously.
    gt_masks, seeds = torch.ones(4000, GRID, GRID, dtype=torch.bool), torch.arange(4000)
    gt_masks[:, 0] = gt_masks[:, -1] = gt_masks[:, :, 0] = gt_masks[:, :, -1] = False
    coords = play(gt_masks, seeds).point_coords
    is_box = play(gt_masks, seeds).point_labels[:, 0] == 2
    for kind in (coords[is_box], coords[~is_box][:, [0, 2, 3]]):
        draws = kind.flatten(1).T
        correlation = torch.corrcoef(draws) - torch.eye(len(draws))
        assert correlation.abs().max() < 0.1  # more than four standard errors
