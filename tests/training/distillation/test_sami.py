from functools import partial

import pytest
import torch

from sam_train.data.store.embeddings import EmbeddingCache
from sam_train.data.stream.collate import Batch
from sam_train.modeling.build import assemble_efficient
from sam_train.modeling.image_encoder.plain_vit import ImageEncoderPlain
from sam_train.modeling.sam import Sam
from sam_train.training.distillation.sami import MaskedAutoencoder, SamiPretraining
from sam_train.training.optim import Optimization

SMALL = partial(MaskedAutoencoder, dim=32, depth=1, heads=2)


@pytest.fixture
def plain() -> Sam:
    torch.manual_seed(0)
    encoder = ImageEncoderPlain(64, 32, depth=2, num_heads=2, out_chans=16)
    return assemble_efficient(encoder, dim=16, depth=1, num_heads=2, mlp_dim=32, dropout=0.0)


@pytest.fixture
def module(plain: Sam, stretched: EmbeddingCache, optimization: Optimization) -> SamiPretraining:
    return SamiPretraining(
        plain, embeddings=stretched, autoencoder=SMALL, optimization=optimization
    )


def test_pre_training_tells_more_and_more_of_what_the_teacher_sees(
    module: SamiPretraining, batch: Batch
) -> None:
    optimizer, losses = module.configure_optimizers(), []
    for step in range(60):
        optimizer.zero_grad()
        losses.append(module.learn(batch, step)[0]["train/loss"])
        optimizer.step()

    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_who_sees_nothing_has_a_loss_of_one(module: SamiPretraining, batch: Batch) -> None:
    for parameter in module.autoencoder.head.parameters():
        torch.nn.init.zeros_(parameter)
    batch["input_sizes"][:] = 64  # stretched to the whole frame
    rows = module.embeddings.of(batch["keys"])
    varying = (rows != rows[:1]).any(0).any(2).any(1)  # some channels are always zero

    loss = module.learn(batch, 0)[0]["train/loss"]
    assert loss == pytest.approx(varying.float().mean().item(), abs=1e-3)


def test_only_a_quarter_of_the_patches_is_looked_at(module: SamiPretraining) -> None:
    images = torch.randn(1, 3, 64, 64, requires_grad=True)

    module.autoencoder(images).square().sum().backward()

    assert images.grad is not None
    patches = images.grad.abs().amax(1).unfold(1, 16, 16).unfold(2, 16, 16).amax((-2, -1))
    assert (patches > 0).sum() == 4  # of 16


def test_a_visible_patch_is_told_at_its_own_place(plain: Sam) -> None:
    """Without blocks nothing is exchanged: a patch changes the features of its place alone."""
    encoder = plain.image_encoder
    encoder.blocks = torch.nn.ModuleList()
    autoencoder = MaskedAutoencoder(
        encoder, feature_dim=4, dim=32, depth=0, heads=2, mask_ratio=0.01
    )
    images = torch.randn(1, 3, 64, 64)
    other = images.clone()
    other[:, :, 16:32, 32:48] += 1  # row 1, column 2

    changed = (autoencoder(images) - autoencoder(other)).abs().amax(1)[0] > 1e-6

    assert changed.nonzero().tolist() == [[1, 2]]


def test_the_views_of_an_image_are_the_mean_of_their_losses(
    plain: Sam, stretched: EmbeddingCache, optimization: Optimization, batch: Batch
) -> None:
    module = SamiPretraining(
        plain, embeddings=stretched, autoencoder=SMALL, optimization=optimization, views=3
    )
    torch.manual_seed(0)
    three = module.learn(batch, 0)[0]["train/loss"]

    module.views = 1
    batch = batch | {"images": batch["images"].repeat(3, 1, 1, 1), "keys": 3 * batch["keys"]}
    batch["input_sizes"] = batch["input_sizes"].repeat(3, 1)
    torch.manual_seed(0)
    assert module.learn(batch, 0)[0]["train/loss"] == pytest.approx(three, rel=1e-5)


def test_an_image_is_looked_at_once_at_least(
    plain: Sam, stretched: EmbeddingCache, optimization: Optimization
) -> None:
    with pytest.raises(ValueError, match="views is 0"):
        SamiPretraining(
            plain, embeddings=stretched, autoencoder=SMALL, optimization=optimization, views=0
        )


def test_another_encoder_than_a_plain_vit_is_refused(
    student: Sam, embeddings: EmbeddingCache, optimization: Optimization
) -> None:
    with pytest.raises(ValueError, match="pre-trains a plain ViT, not a ImageEncoderPyramid"):
        SamiPretraining(
            student, embeddings=embeddings, autoencoder=SMALL, optimization=optimization
        )


def test_a_teacher_that_saw_the_images_padded_is_refused(
    plain: Sam, embeddings: EmbeddingCache, optimization: Optimization
) -> None:
    with pytest.raises(ValueError, match=r"padded .* sees them stretched: .* and with --stretch"):
        SamiPretraining(plain, embeddings=embeddings, autoencoder=SMALL, optimization=optimization)
