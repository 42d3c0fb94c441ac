from pathlib import Path

import pytest
import timm
import torch

from sam_train.modeling.build import assemble, build_sam_tiny
from sam_train.modeling.image_encoder.vit import ImageEncoderViT
from sam_train.modeling.sam import Sam
from sam_train.training.start.mae_start import MaeStart


def sam_of_width(width: int) -> Sam:
    encoder = ImageEncoderViT(
        64, width, depth=2, num_heads=2, global_attn_indexes=(0, 1), out_chans=16
    )
    return assemble(encoder, dim=16, depth=1, num_heads=2, mlp_dim=32, dropout=0.0)


@pytest.fixture
def plain_vit(tmp_path: Path) -> Path:
    """A plain ViT on an 8 x 8 grid of patches of 14 pixels, as a file of the MAE authors."""
    vit = timm.models.VisionTransformer(
        img_size=112, patch_size=14, embed_dim=32, depth=2, num_heads=2, num_classes=0
    )
    torch.save({"model": vit.state_dict()}, tmp_path / "mae.pth")
    return tmp_path / "mae.pth"


def test_the_encoder_gets_the_blocks_and_fitted_positions_of_a_plain_vit(plain_vit: Path) -> None:
    sam, weights = sam_of_width(32), torch.load(plain_vit)["model"]
    MaeStart(str(plain_vit))(sam)
    own = sam.image_encoder.state_dict()
    for name in ("blocks.1.attn.qkv.weight", "blocks.0.mlp.fc2.bias", "patch_embed.proj.bias"):
        assert torch.equal(own[name], weights[name])
    table = weights["pos_embed"][:, 1:].reshape(1, 8, 8, 32)
    torch.testing.assert_close(own["pos_embed"].mean((1, 2)), table.mean((1, 2)), atol=5e-3, rtol=0)


def test_weights_of_another_width_are_refused_and_nothing_is_changed(plain_vit: Path) -> None:
    sam = sam_of_width(64)
    before = {name: tensor.clone() for name, tensor in sam.state_dict().items()}
    with pytest.raises(ValueError, match="is no masked autoencoder for this encoder"):
        MaeStart(str(plain_vit))(sam)
    torch.testing.assert_close(sam.state_dict(), before, rtol=0, atol=0)


def test_an_encoder_that_is_no_vit_is_told_which_models_are(plain_vit: Path) -> None:
    with pytest.raises(ValueError, match="not the ImageEncoderPyramid of this model: choose model"):
        MaeStart(str(plain_vit))(build_sam_tiny(image_size=64, dim=32))
