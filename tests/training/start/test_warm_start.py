import torch
from torch import Tensor

from sam_train.interaction.masks import mask_iou
from sam_train.interaction.prompts import box_prompts
from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.sam import Sam
from sam_train.training.start.warm_start import WarmStart, noise_embeddings, noisy_affinity

# On the 16 x 16 grid of low-resolution logits, four pixels of the input frame to a cell.
BOXES = torch.tensor([[2, 3, 8, 9], [6, 6, 13, 12], [1, 9, 6, 14], [8, 1, 14, 7.0]])


def iou_of_boxed_rectangles(sam: Sam) -> Tensor:
    """Prompts four rectangles by their boxes, on images of noise."""
    axis = torch.arange(16)
    x0, y0, x1, y1 = BOXES[:, :, None].unbind(1)
    rows, columns = (y0 <= axis) & (axis <= y1), (x0 <= axis) & (axis <= x1)
    masks = rows[:, :, None] & columns[:, None]
    embeddings = noise_embeddings(sam, masks, torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits, _ = sam.decode(embeddings, box_prompts((BOXES + 0.5) * 4 - 0.5), torch.arange(4))
    return mask_iou(logits[:, 0] > 0, masks).mean()


def test_a_warm_start_raises_the_iou_on_drawn_shapes() -> None:
    torch.manual_seed(3)
    sam = build_sam_tiny(image_size=64, dim=64)
    before = iou_of_boxed_rectangles(sam)
    WarmStart(steps=120, batch_size=16)(sam)
    assert iou_of_boxed_rectangles(sam) > max(before + 0.3, 0.5)


def test_a_vit_can_be_started_too(vit: Sam) -> None:
    tokens = vit.mask_decoder.mask_tokens.weight.clone()
    WarmStart(steps=1, batch_size=2)(vit)
    assert not torch.equal(vit.mask_decoder.mask_tokens.weight, tokens)


def test_a_warm_start_leaves_the_image_encoder_as_it_is() -> None:
    sam, untouched = build_sam_tiny(image_size=64, dim=32), build_sam_tiny(image_size=64, dim=32)
    untouched.load_state_dict(sam.state_dict())
    WarmStart(steps=2, batch_size=2)(sam)
    torch.testing.assert_close(
        sam.image_encoder.state_dict(), untouched.image_encoder.state_dict(), rtol=0, atol=0
    )
    tokens, old = (each.mask_decoder.mask_tokens.weight for each in (sam, untouched))
    assert not torch.equal(tokens, old)


def test_a_warm_start_is_the_same_for_the_same_seed() -> None:
    weights = []
    for _ in range(2):
        torch.manual_seed(0)
        sam = build_sam_tiny(image_size=64, dim=32)
        WarmStart(steps=2, batch_size=2, seed=5)(sam)
        weights.append(sam.state_dict())
    torch.testing.assert_close(*weights, rtol=0, atol=0)


def test_noise_embeddings_have_the_positions_as_their_mean() -> None:
    sam = build_sam_tiny(image_size=64, dim=32)
    masks = torch.zeros(500, 16, 16, dtype=torch.bool)
    embeddings = noise_embeddings(sam, masks, torch.Generator().manual_seed(0))
    deviation = embeddings[:, :32].mean(0) - sam.image_encoder.pos_embed[0]
    assert deviation.abs().max() < 5 * 0.3 / 500**0.5  # the content starts with gain 0.3


def test_noisy_affinities_are_alike_within_a_mask_and_its_neighbours() -> None:
    masks = torch.zeros(40, 8, 8, dtype=torch.bool)
    masks[:, :, :4] = True
    masks[1::2] = masks[1::2].flip(2)  # every neighbour holds the other half
    masks[:, :, 3:5] = False
    affinity = noisy_affinity(masks, 32, torch.Generator().manual_seed(0))
    torch.testing.assert_close(affinity.norm(dim=1), torch.ones(40, 8, 8))
    cosine = torch.einsum("nehw,ne->nhw", affinity, affinity[:, :, 0, 0]).mean(0)[1]
    assert (cosine[[0, 1, 2, 5, 6, 7]] > 0.4).all() and (cosine[3:5].abs() < 0.2).all()
