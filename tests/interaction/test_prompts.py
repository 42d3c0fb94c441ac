import torch

from sam_train.interaction.prompts import PromptKind, Prompts, box_prompts, point_prompts

POINT = point_prompts(torch.tensor([[3.0, 4.0]]), torch.tensor([1]))
BOX = box_prompts(torch.tensor([[1.0, 2.0, 5.0, 6.0]]))
SINGLE, THREE = [True, False, False, False], [False, True, True, True]


def answered_by(prompts: Prompts, *ambiguous: PromptKind) -> list[bool]:
    return prompts.candidates(ambiguous or ("point", "box"))[0].tolist()


def add_point(prompts: Prompts, label: int) -> Prompts:
    return prompts.add_points(torch.tensor([[7.0, 8.0]]), torch.tensor([label]))


def test_a_point_is_followed_by_one_padding_point() -> None:
    assert POINT.point_coords.tolist() == [[[3, 4], [0, 0]]]
    assert POINT.point_labels.tolist() == [[1, -1]]


def test_a_box_is_two_points_with_the_labels_of_its_corners() -> None:
    assert BOX.point_coords.tolist() == [[[1, 2], [5, 6]]]
    assert BOX.point_labels.tolist() == [[2, 3]]


def test_added_points_come_last_and_leave_the_old_prompts_alone() -> None:
    both = add_point(BOX, 0)
    assert both.point_coords.tolist() == [[[1, 2], [5, 6], [7, 8]]]
    assert both.point_labels.tolist() == [[2, 3, 0]]
    assert BOX.point_labels.shape == (1, 2)


def test_one_point_is_answered_by_three_masks() -> None:
    assert answered_by(POINT) == THREE
    assert answered_by(add_point(POINT, -1)) == THREE


def test_which_lone_prompts_are_ambiguous_is_a_choice() -> None:
    assert answered_by(BOX) == THREE
    assert answered_by(BOX, "point") == answered_by(POINT, "box") == SINGLE
    assert answered_by(POINT, "point") == answered_by(BOX, "box") == THREE
    assert POINT.candidates(())[0].tolist() == SINGLE


def test_several_prompts_are_answered_by_one_mask() -> None:
    for prompts in (add_point(POINT, 0), add_point(BOX, 1)):
        assert answered_by(prompts) == SINGLE


def test_a_point_with_a_mask_is_answered_by_one_mask() -> None:
    assert answered_by(POINT.with_masks(torch.zeros(1, 1, 4, 4))) == SINGLE


def test_indexing_takes_every_part_of_the_chosen_objects() -> None:
    points = point_prompts(torch.arange(6.0).reshape(3, 2), torch.tensor([1, 0, 1]))
    prompts = points.with_masks(torch.arange(3.0).reshape(3, 1, 1, 1))[torch.tensor([2, 0])]
    assert len(prompts) == 2
    assert prompts.point_coords[:, 0].tolist() == [[4, 5], [0, 1]]
    assert prompts.mask_inputs.flatten().tolist() == [2, 0]
    assert prompts.has_mask.tolist() == [True, True]
    assert points[:1].mask_inputs is None
