"""What our decoder does beyond the official one: many images at once, in any precision."""

import pytest
import torch
from torch import Tensor

from sam_train.interaction.prompts import Prompts, box_prompts, point_prompts
from sam_train.modeling.attention import Attention, ImageToTokenAttention, TokenToImageAttention
from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.maps.cells import fold
from sam_train.modeling.mask_decoder import CPU_CELLS, unfold_quarters
from sam_train.modeling.sam import Sam


@pytest.fixture(scope="module")
def sam() -> Sam:
    torch.manual_seed(0)
    return build_sam_tiny(image_size=64).requires_grad_(False)


def draw_embeddings(count: int) -> Tensor:
    """Embeddings with details and affinity features, as the pyramid gives them."""
    return torch.randn(count, 4 * 128 + 16 * 32, 4, 4)


def draw_points(count: int) -> Prompts:
    return point_prompts(64 * torch.rand(count, 2), torch.randint(0, 2, (count,)))


def draw_boxes(count: int) -> Prompts:
    return box_prompts(64 * torch.rand(count, 4).sort(1).values)


def official(sam: Sam, image_embedding: Tensor, **prompts: object) -> tuple[Tensor, Tensor]:
    """All four candidates by way of the official calls, for the prompts of one image."""
    prompts = {"points": None, "boxes": None, "masks": None} | prompts
    sparse, dense = sam.prompt_encoder(**prompts, image_embeddings=image_embedding)
    parts = [
        sam.mask_decoder(
            image_embeddings=image_embedding,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask_output,
        )
        for multimask_output in (False, True)
    ]
    logits, iou_pred = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
    return logits, iou_pred


def assert_close(actual: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


def test_one_call_over_several_images_equals_one_call_for_each(sam: Sam) -> None:
    embeddings, image_index = draw_embeddings(3), torch.tensor([0, 0, 1, 2, 2, 2])
    prompts = draw_points(6).with_masks(torch.randn(6, 1, 16, 16))
    together = sam.decode(embeddings, prompts, image_index)
    for image in range(3):
        mine = image_index == image
        alone = sam.decode(embeddings[image : image + 1], prompts[mine], image_index[mine] * 0)
        assert_close(tuple(part[mine] for part in together), alone)


def test_clicks_on_one_image_share_its_projections_and_get_what_each_alone_gets(sam: Sam) -> None:
    embedding, prompts = draw_embeddings(1), draw_points(6)
    together = sam.decode(embedding, prompts, torch.zeros(6, dtype=torch.int64))
    for i in range(6):
        alone = sam.decode(embedding, prompts[i : i + 1], torch.tensor([0]))
        assert_close(tuple(part[i : i + 1] for part in together), alone)


def test_an_image_for_all_prompts_gets_the_gradient_of_one_for_each(sam: Sam) -> None:
    prompts, gradients = draw_points(3), []
    one = draw_embeddings(1)
    for embeddings, index in ((one, [0, 0, 0]), (one.repeat(3, 1, 1, 1), [0, 1, 2])):
        embeddings.requires_grad_()
        logits, iou_pred = sam.decode(embeddings, prompts, torch.tensor(index))
        loss = logits.square().mean() + iou_pred.square().mean()
        gradients.append(torch.autograd.grad(loss, embeddings)[0].sum(0))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)


def test_prompts_are_decoded_in_chunks_where_no_gradient_is_wanted() -> None:
    sam = build_sam_tiny(image_size=64)
    embedding, prompts = draw_embeddings(1), draw_points(CPU_CELLS // 16 + 1)
    index = torch.zeros(len(prompts), dtype=torch.int64)
    with torch.no_grad():
        chunked = sam.decode(embedding, prompts, index)
    assert_close(chunked, tuple(part.detach() for part in sam.decode(embedding, prompts, index)))


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("tokens", [2, 40])
def test_attention_to_the_image_is_that_of_three_projections_in_any_order(
    tokens: int, images: int
) -> None:
    read, write = TokenToImageAttention(32, 4), ImageToTokenAttention(32, 4)
    few, image = torch.randn(3, tokens, 32), torch.randn(images, 50, 32)
    every = image.expand(3, -1, -1)
    for attention, ours, q, k in (
        (read, read(few, image, 2 * image), few, every),
        (write, write(image, few, 2 * few), every, few),
    ):
        expected = Attention.forward(attention, q, k, 2 * k)
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


def test_images_differ_in_their_masks(sam: Sam) -> None:
    prompts = draw_points(1)[torch.tensor([0, 0])]
    logits, _ = sam.decode(draw_embeddings(2), prompts, torch.tensor([0, 1]))
    assert (logits[0] - logits[1]).abs().max() > 1e-3


def test_points_equal_the_official_path(sam: Sam) -> None:
    embedding, prompts = draw_embeddings(1), draw_points(5)
    points = (prompts.point_coords[:, :1], prompts.point_labels[:, :1])
    ours = sam.decode(embedding, prompts, torch.zeros(5, dtype=torch.int64))
    assert_close(ours, official(sam, embedding, points=points))


def test_boxes_equal_the_official_path(sam: Sam) -> None:
    embedding, prompts = draw_embeddings(1), draw_boxes(5)
    ours = sam.decode(embedding, prompts, torch.zeros(5, dtype=torch.int64))
    assert_close(ours, official(sam, embedding, boxes=prompts.point_coords.flatten(1)))


def test_a_box_with_a_point_and_a_mask_equals_the_official_path(sam: Sam) -> None:
    embedding, boxes, masks = draw_embeddings(1), draw_boxes(5), torch.randn(5, 1, 16, 16)
    coords, labels = 64 * torch.rand(5, 2), torch.tensor([1, 0, 1, 0, 1])
    prompts = boxes.add_points(coords, labels).with_masks(masks)
    ours = sam.decode(embedding, prompts, torch.zeros(5, dtype=torch.int64))
    expected = official(
        sam,
        embedding,
        points=(coords[:, None], labels[:, None]),
        boxes=boxes.point_coords.flatten(1),
        masks=masks,
    )
    assert_close(ours, expected)


def test_points_and_boxes_mix_in_one_batch(sam: Sam) -> None:
    embedding, points, boxes = draw_embeddings(1), draw_points(2), draw_boxes(3)
    mixed = Prompts(
        torch.cat([points.point_coords, boxes.point_coords]),
        torch.cat([points.point_labels, boxes.point_labels]),
    )
    logits, iou_pred = sam.decode(embedding, mixed, torch.zeros(5, dtype=torch.int64))
    point = (points.point_coords[:, :1], points.point_labels[:, :1])
    assert_close((logits[:2], iou_pred[:2]), official(sam, embedding, points=point))
    box = boxes.point_coords.flatten(1)
    assert_close((logits[2:], iou_pred[2:]), official(sam, embedding, boxes=box))


def test_objects_without_a_mask_beside_others_with_one_get_the_no_mask_embedding(sam: Sam) -> None:
    has_mask, masks = torch.tensor([True, False, True]), torch.randn(3, 1, 16, 16)
    dense = sam.prompt_encoder.embed_masks(masks, has_mask)
    torch.testing.assert_close(dense[has_mask], sam.prompt_encoder.mask_downscaling(masks[::2]))
    no_mask = sam.prompt_encoder.no_mask_embed.weight[0]
    assert torch.equal(dense[1], no_mask[:, None, None].expand(-1, 4, 4))


def test_a_padding_point_has_no_position(sam: Sam) -> None:
    coords, labels = 64 * torch.rand(1, 3, 2), torch.tensor([[-1, -1, 1]])
    tokens = sam.prompt_encoder.embed_points(coords, labels)[0]
    assert torch.equal(tokens[0], sam.prompt_encoder.not_a_point_embed.weight[0])
    assert torch.equal(tokens[0], tokens[1])
    assert not torch.equal(tokens[0], tokens[2])


def test_positions_are_coded_in_fp32_under_autocast(sam: Sam) -> None:
    coords, labels = 64 * torch.rand(4, 3, 2), torch.ones(4, 3, dtype=torch.int64)
    encoder = sam.prompt_encoder
    with torch.autocast("cpu", torch.bfloat16):
        tokens, dense_pe = encoder.embed_points(coords, labels), encoder.get_dense_pe()
    assert tokens.dtype == dense_pe.dtype == torch.float32
    assert torch.equal(tokens, encoder.embed_points(coords, labels))
    assert torch.equal(dense_pe, encoder.get_dense_pe())


def test_a_point_and_the_cell_that_it_is_in_the_centre_of_have_one_code(sam: Sam) -> None:
    encoder = sam.prompt_encoder
    point = torch.tensor([[[3 * 16 + 7.5, 1 * 16 + 7.5]]])  # column 3, row 1 of 4 x 4
    code = encoder.pe_layer.encode_pixels(point + 0.5, encoder.input_image_size)[0, 0]
    torch.testing.assert_close(code, encoder.get_dense_pe()[0, :, 1, 3])


def test_upscaling_as_matrix_products_equals_the_layers_themselves(sam: Sam) -> None:
    source = torch.randn(2, 128, 3, 5)
    ours = sam.mask_decoder.upscale(source.flatten(2).transpose(1, 2), source[:, :0])
    expected = sam.mask_decoder.output_upscaling(source)
    torch.testing.assert_close(unfold_quarters(ours, 3, 5), expected, rtol=0, atol=1e-5)


def test_details_are_added_before_the_norm_and_before_the_last_activation(sam: Sam) -> None:
    """As SAM 2 does: act2(dc2(act1(ln1(dc1(source) + s1))) + s0)."""
    source, s1, s0 = (torch.randn(2, c, s, s) for c, s in ((128, 3), (32, 6), (16, 12)))
    details = torch.cat([fold(s1), fold(fold(s0))], dim=1)
    ours = sam.mask_decoder.upscale(source.flatten(2).transpose(1, 2), details)
    first, norm, act, second, last_act = sam.mask_decoder.output_upscaling
    expected = last_act(second(act(norm(first(source) + s1))) + s0)
    torch.testing.assert_close(unfold_quarters(ours, 3, 3), expected, rtol=0, atol=1e-5)


def test_logits_are_linear_in_the_hypernetworks_weights(sam: Sam) -> None:
    # Each candidate is a product with its own weights: silencing one leaves the others.
    decoder = build_sam_tiny(image_size=64).requires_grad_(False)
    for parameter in decoder.mask_decoder.output_hypernetworks_mlps[2].layers[-1].parameters():
        parameter.zero_()
    logits, _ = decoder.decode(draw_embeddings(1), draw_points(2), torch.tensor([0, 0]))
    assert logits.flatten(2).any(2).tolist() == [[True, True, False, True]] * 2


def test_a_gradient_reaches_every_parameter_of_a_decoder_that_gets_all_prompts() -> None:
    sam = build_sam_tiny(image_size=64)
    prompts = Prompts(
        64 * torch.rand(1, 5, 2),
        torch.tensor([[1, 0, 2, 3, -1]]),
        torch.randn(1, 1, 16, 16),
        torch.tensor([True]),
    )
    without_mask = Prompts(prompts.point_coords, prompts.point_labels)
    for each in (prompts, without_mask):
        logits, iou_pred = sam.decode(draw_embeddings(1), each, torch.tensor([0]))
        (logits.square().sum() + iou_pred.sum()).backward()
    parts = (sam.prompt_encoder, sam.mask_decoder)
    silent = [n for part in parts for n, p in part.named_parameters() if p.grad is None]
    assert silent == []


def test_no_prompts_give_no_masks(sam: Sam) -> None:
    logits, iou_pred = official(sam, draw_embeddings(1), boxes=torch.zeros(0, 4))
    assert logits.shape == (0, 4, 16, 16) and iou_pred.shape == (0, 4)
