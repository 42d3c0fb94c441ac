import pytest
import torch

from sam_train.interaction.prompts import box_prompts, point_prompts
from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.maps.prompt_maps import (
    CLICK_WIDTHS,
    NUM_DRAWN,
    OUTSIDE_BOX,
    compare_with_prompts,
    draw_prompts,
)

SIDE = 32


def test_a_click_is_one_at_its_cell_and_falls_with_the_distance() -> None:
    coords = torch.tensor([[[(20 + 0.5) / SIDE, (7 + 0.5) / SIDE]]])
    maps = draw_prompts(coords, torch.tensor([[1]]), SIDE, tight=False)
    assert maps.shape == (1, NUM_DRAWN, SIDE, SIDE)
    for index, width in enumerate(CLICK_WIDTHS):
        assert divmod(maps[0, index].argmax().item(), SIDE) == (7, 20)
        torch.testing.assert_close(maps[0, index, 7, 20], torch.tensor(1.0))
        expected = torch.tensor(-0.5 * (3 / SIDE / width) ** 2).exp()
        torch.testing.assert_close(maps[0, index, 7, 23], expected)
    assert not maps[0, len(CLICK_WIDTHS) :].any()


def test_background_clicks_have_maps_of_their_own() -> None:
    coords = torch.tensor([[[0.25, 0.25], [0.75, 0.75]]])
    maps = draw_prompts(coords, torch.tensor([[1, 0]]), SIDE, tight=False)[0]
    foreground, background = maps[1], maps[len(CLICK_WIDTHS) + 1]
    assert foreground[8, 8] > 0.7 > 0.01 > foreground[24, 24]
    assert background[24, 24] > 0.7 > 0.01 > background[8, 8]


def test_a_box_is_positive_inside_as_ellipse_and_as_rectangle() -> None:
    coords = torch.tensor([[[4 / SIDE, 8 / SIDE], [12 / SIDE, 24 / SIDE]]])
    ellipse, rectangle, presence, _ = draw_prompts(
        coords, torch.tensor([[2, 3]]), SIDE, tight=False
    )[0, -4:]
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    inside[8:24, 4:12] = True
    assert torch.equal(rectangle > 0, inside)
    assert 0.7 < (ellipse > 0).sum() / inside.sum() < 0.85  # pi / 4
    assert not (ellipse > 0)[~inside].any()
    assert presence.all()


@pytest.mark.parametrize(
    ("tight", "row"),
    [
        (False, [0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 1.0]),
        (True, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.75, 1.0]),
    ],
)
def test_outside_a_box_is_its_own_map(tight: bool, row: list[float]) -> None:
    coords = torch.tensor([[[4 / SIDE, 8 / SIDE], [12.25 / SIDE, 24 / SIDE]]])
    outside = draw_prompts(coords, torch.tensor([[2, 3]]), SIDE, tight=tight)[0, OUTSIDE_BOX]
    torch.testing.assert_close(outside[16, 3:14], torch.tensor(row))  # from x = 3.5 cells on
    assert (outside[:7] == 1).all() and (outside[25:] == 1).all()


@pytest.mark.parametrize("tight", [False, True])
def test_the_smallest_box_leaves_a_cell_free(tight: bool) -> None:
    coords = torch.full((1, 2, 2), 8 / SIDE)
    assert (
        draw_prompts(coords, torch.tensor([[2, 3]]), SIDE, tight=tight)[0, OUTSIDE_BOX].min() == 0
    )


def test_boxes_are_tight_unless_a_model_learns() -> None:
    sam = build_sam_tiny(image_size=64, dim=32)
    boxes = torch.tensor([[16.0, 16.0, 48.0, 40.0]])
    embedding = sam.encode(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), torch.tensor([[64, 64]]))
    prompts, index = box_prompts(boxes), torch.tensor([0])
    noisy, _ = sam.train().decode(embedding, prompts, index)
    tight, _ = sam.eval().decode(embedding, prompts, index)
    assert (tight[..., 6, 12] < noisy[..., 6, 12]).all()  # of the cell beyond the right edge


def test_masks_of_an_untrained_model_end_where_a_box_does() -> None:
    sam = build_sam_tiny(image_size=64, dim=32)
    images = torch.randint(0, 255, (1, 3, 64, 64), dtype=torch.uint8)
    prompts = box_prompts(torch.tensor([[16.0, 16.0, 48.0, 40.0]]))
    with torch.no_grad():
        embedding = sam.encode(images, torch.tensor([[64, 64]]))
        logits, _ = sam.decode(embedding, prompts, torch.tensor([0]))
    outside = torch.ones(16, 16, dtype=torch.bool)
    outside[3:11, 3:13] = False
    assert logits[0, :, outside].max() < -4


def test_padding_points_and_no_points_draw_nothing() -> None:
    padding = draw_prompts(torch.zeros(2, 3, 2), torch.full((2, 3), -1), SIDE, tight=False)
    nothing = draw_prompts(
        torch.zeros(2, 0, 2), torch.zeros(2, 0, dtype=torch.int64), SIDE, tight=False
    )
    assert not padding.any() and not nothing.any()


def test_a_box_without_extent_is_finite() -> None:
    maps = draw_prompts(torch.full((1, 2, 2), 0.5), torch.tensor([[2, 3]]), SIDE, tight=False)
    assert maps.isfinite().all()


def test_coordinates_of_numpy_give_maps_of_the_models_type() -> None:
    maps = draw_prompts(
        torch.full((1, 2, 2), 0.5, dtype=torch.float64), torch.tensor([[2, 3]]), 8, tight=False
    )
    assert maps.dtype == torch.float32


def halves() -> torch.Tensor:
    """Affinity features that tell the left half of a frame from the right one."""
    affinity = torch.zeros(1, 2, 4, 4)
    affinity[:, 0, :, :2] = 1
    affinity[:, 1, :, 2:] = 1
    return affinity


def test_pixels_are_compared_with_the_likest_click_of_each_kind() -> None:
    coords = torch.tensor([[[0.1, 0.1], [0.2, 0.9], [0.9, 0.5]]])
    ellipse = torch.zeros(1, 4, 4)
    foreground, background, box = compare_with_prompts(
        halves(), coords, torch.tensor([[1, 1, 0]]), ellipse
    )[0]
    left, right = halves()[0]
    assert torch.equal(foreground, left) and torch.equal(background, right) and not box.any()


def test_pixels_are_compared_with_what_fills_the_middle_of_a_box() -> None:
    corners, ellipse = torch.tensor([[[0.5, 0.0], [1.0, 1.0]]]), torch.full((1, 4, 4), -1.0)
    ellipse[:, 1:3, 2:] = 0.5
    foreground, background, box = compare_with_prompts(
        halves(), corners, torch.tensor([[2, 3]]), ellipse
    )[0]
    assert torch.equal(box, halves()[0, 1]) and not foreground.any() and not background.any()


def test_without_points_nothing_is_alike() -> None:
    none = torch.zeros(2, 0, dtype=torch.int64)
    assert not compare_with_prompts(
        halves(), torch.zeros(2, 0, 2), none, ellipse=torch.zeros(2, 4, 4)
    ).any()


def test_each_prompt_is_compared_with_its_own_image() -> None:
    affinity = torch.cat([halves(), halves().flip(1)])
    coords, labels = torch.full((2, 1, 2), 0.1), torch.ones(2, 1, dtype=torch.int64)
    maps = compare_with_prompts(affinity, coords, labels, ellipse=torch.zeros(2, 4, 4))
    assert torch.equal(maps[0, 0], maps[1, 0])  # the left half, by features of its own
    assert torch.equal(maps[0, 0], halves()[0, 0])


def test_the_tiny_model_answers_where_it_was_prompted() -> None:
    """The dense embedding of a prompt differs from that of no prompt around the prompt alone."""
    torch.manual_seed(0)
    sam = build_sam_tiny(image_size=64, dim=32).requires_grad_(False)
    encoder, embeddings = sam.prompt_encoder, torch.zeros(1, 4 * 32 + 16 * 32, 4, 4)
    affinity = encoder.affinity(embeddings)
    prompts = point_prompts(torch.tensor([[7.0, 7.0]]), torch.tensor([1]))
    change = encoder.add_maps(
        encoder.embed_no_mask(1), prompts.point_coords, prompts.point_labels, affinity
    )
    change = (change - change[:, :, 3:, 3:]).abs().sum(1)[0]  # beside the far corner
    assert change[0, 0] > 10 * change[3, 0]
    corners = box_prompts(torch.tensor([[4.0, 4.0, 40.0, 40.0]]))
    by_box, _ = encoder(None, torch.tensor([[4.0, 4.0, 40.0, 40.0]]), None, embeddings)
    torch.testing.assert_close(
        by_box, encoder.embed_points(corners.point_coords, corners.point_labels)
    )


def test_a_model_that_looks_at_the_image_for_its_prompts_says_so() -> None:
    encoder = build_sam_tiny(image_size=64, dim=32).prompt_encoder
    with pytest.raises(ValueError, match="pass image_embeddings"):
        encoder(None, torch.tensor([[4.0, 4.0, 40.0, 40.0]]), None)
