import argparse
import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from sam_train.modeling.build import assemble, build_sam_tiny
from sam_train.modeling.checkpoint import (
    file_sha256,
    load_checkpoint,
    load_model,
    load_official,
    official_state_dict,
    save_model,
    save_official,
)
from sam_train.modeling.image_encoder.vit import ImageEncoderViT
from sam_train.modeling.sam import Sam


def small_vit(image_size: int = 64, embed_dim: int = 32) -> Sam:
    encoder = ImageEncoderViT(
        image_size, embed_dim, depth=2, num_heads=2, global_attn_indexes=(1,), out_chans=16
    )
    sam = assemble(encoder, dim=16, depth=1, num_heads=8, mlp_dim=32, dropout=0.0).eval()
    with torch.no_grad():  # position tables start at zero
        for parameter in sam.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return sam


def assert_same_weights(a: nn.Module, b: nn.Module) -> None:
    torch.testing.assert_close(a.state_dict(), b.state_dict(), rtol=0, atol=0)


@pytest.fixture(scope="module")
def tiny() -> Sam:
    return build_sam_tiny(image_size=64)


def test_an_official_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written, read = small_vit(), small_vit()
    save_official(written, tmp_path / "sam.pth")
    load_official(read, tmp_path / "sam.pth")
    assert_same_weights(read, written)


def test_official_names_of_encoder_mlps_are_lin_and_of_the_decoder_too(tmp_path: Path) -> None:
    names = official_state_dict(small_vit()).keys()
    assert "image_encoder.blocks.0.mlp.lin1.weight" in names
    assert "mask_decoder.transformer.layers.0.mlp.lin2.bias" in names
    assert not [name for name in names if ".fc" in name]


def test_a_state_dict_under_model_is_found(tmp_path: Path) -> None:
    written, read = small_vit(), small_vit()
    torch.save({"model": official_state_dict(written), "epoch": 3}, tmp_path / "tuned.pth")
    load_checkpoint(read, tmp_path / "tuned.pth")
    assert_same_weights(read, written)


def test_a_model_for_smaller_images_equals_the_large_one_fed_small(tmp_path: Path) -> None:
    # The large model interpolates its position tables at run time (timm).
    large, small = small_vit(image_size=320), small_vit(image_size=256)
    save_official(large, tmp_path / "large.pth")
    load_official(small, tmp_path / "large.pth")
    image = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        torch.testing.assert_close(
            small.image_encoder(image), large.image_encoder(image), rtol=0, atol=1e-6
        )


def test_our_files_say_how_to_build_the_model(tiny: Sam, tmp_path: Path) -> None:
    path = tmp_path / "run" / "model.safetensors"
    save_model(tiny, path, model="tiny", config={"image_size": 64, "dim": 128})
    loaded = load_model(path)
    assert_same_weights(loaded, tiny)
    assert loaded.image_size == 64
    assert not loaded.training
    assert json.loads(path.with_suffix(".json").read_text()) == {
        "model": "tiny",
        "image_size": 64,
        "config": {"dim": 128},
        "sha256": file_sha256(path),
    }
    assert sorted(os.listdir(path.parent)) == ["model.json", "model.safetensors"]


def test_a_model_says_from_which_run_it_is(tiny: Sam, tmp_path: Path) -> None:
    path, origin = tmp_path / "model.safetensors", {"config_sha256": "abc", "config": {"seed": 0}}
    save_model(tiny, path, model="tiny", config={"image_size": 64}, origin=origin)
    assert json.loads(path.with_suffix(".json").read_text())["origin"] == origin
    assert load_model(path).image_size == 64


def test_the_registry_builders_take_our_files_too(tiny: Sam, tmp_path: Path) -> None:
    save_model(tiny, tmp_path / "model.safetensors", model="tiny", config={})
    assert_same_weights(build_sam_tiny(tmp_path / "model.safetensors", image_size=64), tiny)


def test_a_model_outside_the_registry_is_not_saved(tiny: Sam, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no model 'vit_g': name one of"):
        save_model(tiny, tmp_path / "model.safetensors", model="vit_g", config={})
    with pytest.raises(ValueError, match="writes .safetensors files"):
        save_model(tiny, tmp_path / "model.pth", model="tiny", config={})
    assert os.listdir(tmp_path) == []


def test_weights_that_the_json_does_not_describe_are_refused(tiny: Sam, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(tiny, path, model="tiny", config={})
    card = path.with_suffix(".json")
    card.write_text(card.read_text().replace('"sha256": "', '"sha256": "0'))
    with pytest.raises(ValueError, match="is not the file that .*model.json describes"):
        load_model(path)


def test_a_json_with_another_builders_arguments_is_refused(tiny: Sam, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(tiny, path, model="tiny", config={"image_size": 64, "colour": "blue"})
    with pytest.raises(ValueError, match="model.json does not describe .*argument 'colour'"):
        load_model(path)


@pytest.mark.parametrize("text", ["", "[]", '{"model": "vit_g"}', '{"model": "tiny"}'])
def test_a_json_that_describes_no_model_is_refused(tiny: Sam, tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.safetensors"
    save_model(tiny, path, model="tiny", config={})
    path.with_suffix(".json").write_text(text)
    with pytest.raises(ValueError, match="model.json does not describe a model"):
        load_model(path)


def test_a_missing_json_is_named(tiny: Sam, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(tiny, path, model="tiny", config={})
    path.with_suffix(".json").unlink()
    with pytest.raises(FileNotFoundError, match="no file .*model.json"):
        load_model(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", bytes(range(256)) * 40])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"sam{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"sam{suffix} is not a checkpoint.*\({len(content)} by"):
        load_checkpoint(small_vit(), path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_leaves_the_model_as_it_was(
    tiny: Sam, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"sam{suffix}"
    if suffix == ".pth":
        save_official(tiny, path)
    else:
        save_model(tiny, path, model="tiny", config={})
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ValueError, match="or only a part of one"):
        load_checkpoint(tiny, path)


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder: name the checkpoint file"):
        load_official(small_vit(), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"There is no file .*sam\.pth"):
        load_official(small_vit(), tmp_path / "sam.pth")


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"model": {}, "args": argparse.Namespace(lr=1)}, tmp_path / "sam.pth")
    with pytest.raises(ValueError, match=r"pickled code \(argparse.Namespace\)"):
        load_official(small_vit(), tmp_path / "sam.pth")


def test_a_file_without_a_state_dict_is_named(tmp_path: Path) -> None:
    for content in ({"epoch": 3}, {3: torch.zeros(1)}, [torch.zeros(1)]):
        torch.save(content, tmp_path / "sam.pth")
        with pytest.raises(ValueError, match="holds no state dict"):
            load_official(small_vit(), tmp_path / "sam.pth")


@pytest.mark.parametrize(("width", "name"), [(768, "vit_b"), (1024, "vit_l"), (1280, "vit_h")])
def test_a_checkpoint_of_another_size_names_the_difference_and_the_model(
    tmp_path: Path, width: int, name: str
) -> None:
    state_dict = official_state_dict(small_vit())
    state_dict["image_encoder.pos_embed"] = torch.zeros(1, 4, 4, width)
    torch.save(state_dict, tmp_path / "sam.pth")
    sentence = rf"pos_embed has shape \(1, 4, 4, {width}\), here \(1, 4, 4, 32\); .*like {name}: "
    with pytest.raises(ValueError, match=sentence):
        load_official(small_vit(), tmp_path / "sam.pth")


def test_missing_and_unknown_weights_are_named(tiny: Sam, tmp_path: Path) -> None:
    state_dict = official_state_dict(small_vit())
    torch.save(state_dict | {"head.weight": torch.zeros(1)}, tmp_path / "more.pth")
    with pytest.raises(ValueError, match="head.weight is not part of this model"):
        load_official(small_vit(), tmp_path / "more.pth")
    save_official(tiny, tmp_path / "tiny.pth")
    with pytest.raises(ValueError, match="it looks like tiny"):
        load_official(small_vit(), tmp_path / "tiny.pth")
