import pytest
import torch
from torch import Tensor

from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.image_encoder import ImageEncoderPyramid, ImageEncoderViT
from sam_train.modeling.layers import LayerNorm2d
from sam_train.modeling.sam import Sam


def small_pyramid(stride: int) -> ImageEncoderPyramid:
    return ImageEncoderPyramid(
        64, "resnet18d", out_chans=16, stride=stride, channels=(8, 8, 8, 8)
    ).eval()


def small_vit() -> ImageEncoderViT:
    return ImageEncoderViT(64, 32, depth=2, num_heads=2, global_attn_indexes=(1,), out_chans=16)


@pytest.fixture(scope="module")
def sam() -> Sam:
    torch.manual_seed(0)
    return build_sam_tiny(image_size=64).requires_grad_(False)


def draw_images(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8)


@pytest.mark.parametrize("stride", [4, 8, 16, 32])
def test_a_pyramid_gathers_all_levels_at_one_stride(stride: int) -> None:
    encoder = small_pyramid(stride)
    embedding = encoder(torch.randn(2, 3, 64, 64))
    assert embedding.shape == (2, 16, 64 // stride, 64 // stride)
    assert encoder.embedding_size == 64 // stride
    embedding.square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_finer_levels_keep_their_detail_in_channels() -> None:
    # Of the levels at strides 2, 4, 8, 16 and 32 the first three are folded 8, 4 and 2 times.
    laterals = small_pyramid(16).laterals
    channels = [level * fold**2 for level, fold in ((64, 8), (8, 4), (8, 2), (8, 1), (8, 1))]
    assert [lateral.in_channels for lateral in laterals] == channels


def test_the_position_embedding_is_added_to_what_convolutions_see() -> None:
    encoder, image = small_pyramid(16), torch.randn(1, 3, 64, 64)
    before = encoder(image)
    encoder.pos_embed.data.normal_()
    torch.testing.assert_close(encoder(image), before + encoder.pos_embed)


def test_a_vit_has_one_cell_for_each_patch_of_16_pixels() -> None:
    encoder = small_vit().eval()
    assert encoder(torch.randn(2, 3, 64, 64)).shape == (2, 16, 4, 4)
    assert (encoder.embedding_size, encoder.num_layers) == (4, 2)


def test_the_layers_of_a_vit_are_embedding_blocks_and_neck() -> None:
    encoder = small_vit()
    layers = {name.split(".")[0]: encoder.layer_of(name) for name, _ in encoder.named_parameters()}
    assert layers == {"pos_embed": 0, "patch_embed": 0, "blocks": 2, "neck": 3}
    assert encoder.layer_of("blocks.0.attn.qkv.weight") == 1


def test_a_pyramid_is_one_layer() -> None:
    encoder = small_pyramid(16)
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
