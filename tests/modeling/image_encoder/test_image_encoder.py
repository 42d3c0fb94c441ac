from collections.abc import Callable

import pytest
import torch
from timm.models.vision_transformer_sam import Attention
from torch import Tensor, nn

from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.image_encoder.detailed_vit import ImageEncoderDetailed
from sam_train.modeling.image_encoder.plain_vit import ImageEncoderPlain
from sam_train.modeling.image_encoder.pyramid import ImageEncoderPyramid
from sam_train.modeling.image_encoder.vit import (
    CPU_TERMS,
    ImageEncoderViT,
    RelativeAttention,
    attend,
    attend_with_codes,
)
from sam_train.modeling.layers import LayerNorm2d
from sam_train.modeling.maps.cells import fold, fold_twice, unfold_twice
from sam_train.modeling.mask_decoder import split_details, unfold_quarters
from sam_train.modeling.sam import Sam


def small_pyramid() -> ImageEncoderPyramid:
    return ImageEncoderPyramid(64, "resnet18d", out_chans=16, channels=(8, 8, 8, 8)).eval()


def small_detailed() -> ImageEncoderDetailed:
    torch.manual_seed(0)
    return ImageEncoderDetailed(64, 32, depth=2, num_heads=2, out_chans=16).eval()


def small_vit() -> ImageEncoderViT:
    return ImageEncoderViT(64, 32, depth=2, num_heads=2, global_attn_indexes=(1,), out_chans=16)


@pytest.fixture(scope="module")
def sam() -> Sam:
    torch.manual_seed(0)
    return build_sam_tiny(image_size=64).requires_grad_(False)


def draw_images(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8)


def test_a_pyramid_gathers_all_levels_at_one_stride() -> None:
    encoder = small_pyramid()
    for conv in (encoder.detail.conv_s0, encoder.detail.conv_s1):
        torch.nn.init.normal_(conv.weight)
    embedding = encoder(torch.randn(2, 3, 64, 64))
    assert embedding.shape == (2, 16 + 3 * 16 + 16 * encoder.affinity_dim, 4, 4)
    embedding.square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_a_pyramid_starts_without_details() -> None:
    assert not small_pyramid()(torch.randn(1, 3, 64, 64))[:, 16 : 4 * 16].any()


def test_a_detailed_vit_gives_what_a_pyramid_gives() -> None:
    encoder = small_detailed()
    embedding = encoder(torch.randn(2, 3, 64, 64))
    assert embedding.shape == small_pyramid()(torch.zeros(2, 3, 64, 64)).shape
    assert not embedding[:, 16 : 4 * 16].any()
    embedding.square().sum().backward()
    assert encoder.details.weight.grad is not None


def test_the_neck_of_a_detailed_vit_gives_the_embedding_of_a_plain_one() -> None:
    encoder, images = small_detailed(), torch.randn(1, 3, 64, 64)
    plain = ImageEncoderPlain(64, 32, depth=2, num_heads=2, out_chans=16)
    names = plain.state_dict().keys()
    plain.load_state_dict({k: v for k, v in encoder.state_dict().items() if k in names})
    torch.testing.assert_close(encoder(images)[:, :16], plain(images))


@pytest.mark.parametrize("build", [small_pyramid, small_detailed])
def test_affinity_features_are_unit_vectors_at_stride_4(build: Callable[[], nn.Module]) -> None:
    encoder = build()
    embedding = encoder(torch.randn(2, 3, 64, 64))
    affinity = unfold_twice(embedding[:, 4 * 16 :])
    assert affinity.shape == (2, encoder.affinity_dim, 16, 16)
    torch.testing.assert_close(affinity.norm(dim=1), torch.ones(2, 16, 16))


def test_folded_details_reach_the_pixels_that_they_were_made_for() -> None:
    s1, s0 = torch.randn(2, 4, 8, 8), torch.randn(2, 2, 16, 16)  # of a 4 x 4 grid, C = 16
    halves, quarters = split_details(torch.cat([fold(s1), fold_twice(s0)], dim=1), dim=16)
    assert torch.equal(unfold_quarters(quarters, 4, 4), s0)
    assert torch.equal(halves[1, 6 * 4 + 2], s1[1, :, 3, 4])  # cell 6: row 1, column 2


def test_every_pixel_of_a_finer_level_reaches_its_cell() -> None:
    # Levels at strides 2, 4, 8, 16 and 32: the first three are read 8, 4 and 2 pixels a side.
    laterals = small_pyramid().laterals
    assert [lateral.kernel_size[0] for lateral in laterals] == [8, 4, 2, 1, 1]
    assert [lateral.stride for lateral in laterals] == [lat.kernel_size for lat in laterals]


def test_the_position_embedding_is_added_to_what_convolutions_see() -> None:
    encoder, image = small_pyramid(), torch.randn(1, 3, 64, 64)
    before = encoder(image)[:, :16]
    encoder.pos_embed.data.normal_()
    torch.testing.assert_close(encoder(image)[:, :16], before + encoder.pos_embed)


def test_a_vit_has_one_cell_for_each_patch_of_16_pixels() -> None:
    encoder = small_vit().eval()
    assert encoder(torch.randn(2, 3, 64, 64)).shape == (2, 16, 4, 4)
    assert (encoder.embedding_size, encoder.num_layers) == (4, 2)


def test_attention_by_rows_of_queries_equals_timms_and_has_its_gradients() -> None:
    layer = Attention(16, num_heads=8, use_rel_pos=True, input_size=(32, 32))
    for table in (layer.rel_pos_h, layer.rel_pos_w):
        torch.nn.init.normal_(table)
    ours, x = RelativeAttention(layer), torch.randn(4, 32, 32, 16)
    expected = layer(x)
    with torch.no_grad():
        assert CPU_TERMS < 4 * 8 * 32 * 32**2 * 32  # so it takes several parts
        torch.testing.assert_close(ours(x), expected, rtol=0, atol=1e-5)
    gradients = [
        torch.autograd.grad(y.square().sum(), layer.rel_pos_h)[0] for y in (ours(x), expected)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)


def test_the_layers_of_a_vit_are_embedding_blocks_and_neck() -> None:
    encoder = small_vit()
    layers = {name.split(".")[0]: encoder.layer_of(name) for name, _ in encoder.named_parameters()}
    assert layers == {"pos_embed": 0, "patch_embed": 0, "blocks": 2, "neck": 3}
    assert encoder.layer_of("blocks.0.attn.qkv.weight") == 1


def test_a_pyramid_is_one_layer() -> None:
    encoder = small_pyramid()
    assert {encoder.layer_of(name) for name, _ in encoder.named_parameters()} == {1}
    assert encoder.num_layers == 0


def test_what_lies_in_the_padding_does_not_matter(sam: Sam) -> None:
    images, sizes = draw_images(2), torch.tensor([[40, 64], [64, 23]])
    other = images.clone()
    other[0, :, 40:] = 0
    other[1, :, :, 23:] = 255
    assert torch.equal(sam.encode(images, sizes), sam.encode(other, sizes))


def test_encoding_a_batch_equals_the_official_preprocessing_of_each_image(sam: Sam) -> None:
    images, sizes = draw_images(2), torch.tensor([[40, 64], [64, 23]])
    embeddings = sam.encode(images, sizes)
    for image, (height, width), embedding in zip(images, sizes, embeddings, strict=True):
        x = sam.preprocess(image[:, :height, :width].float())
        torch.testing.assert_close(sam.image_encoder(x[None])[0], embedding, rtol=0, atol=1e-5)


def test_colours_are_normalised_with_the_means_of_imagenet(sam: Sam) -> None:
    grey = torch.full((3, 2, 2), 128.0)
    x = sam.preprocess(grey)
    expected = torch.tensor([(128 - 123.675) / 58.395, (128 - 116.28) / 57.12])
    torch.testing.assert_close(x[:2, 0, 0], expected)
    assert x.shape == (3, 64, 64)
    assert not x[:, 2:].any() and not x[:, :, 2:].any()


def test_a_layer_norm_over_channels_has_mean_zero_and_variance_one_in_every_pixel() -> None:
    x = LayerNorm2d(8)(3 + 5 * torch.randn(2, 8, 3, 3))
    torch.testing.assert_close(x.mean(1), torch.zeros(2, 3, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(x.var(1, correction=0), torch.ones(2, 3, 3))


def test_position_terms_as_channels_give_the_same_attention_and_gradients() -> None:
    shapes = ((2, 3, 6, 5, 8), (2, 3, 6, 5, 6), (2, 3, 6, 5, 5), (2, 3, 30, 8), (2, 3, 30, 8))
    results = []
    for work in (attend, attend_with_codes):
        torch.manual_seed(0)
        inputs = [torch.randn(shape, requires_grad=True) for shape in shapes]
        attended = work(*inputs)
        results.append([attended, *torch.autograd.grad(attended.square().sum(), inputs)])
    torch.testing.assert_close(*results)


@pytest.mark.gpu
def test_attention_to_a_large_grid_on_a_gpu_is_that_on_a_cpu() -> None:
    torch.manual_seed(0)
    attention = RelativeAttention(Attention(16, num_heads=2, use_rel_pos=True, input_size=(32, 32)))
    torch.nn.init.normal_(attention.rel_pos_h)
    torch.nn.init.normal_(attention.rel_pos_w)
    x = torch.randn(2, 32, 32, 16)
    with torch.no_grad():
        expected = attention.eval()(x)
        attended = attention.cuda()(x.cuda()).cpu()
    torch.testing.assert_close(attended, expected, rtol=1e-3, atol=1e-4)
