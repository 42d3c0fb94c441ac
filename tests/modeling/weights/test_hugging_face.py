"""transformers' SamModel: its weights are ours under other names, and its folders are read."""

import json
from pathlib import Path

import pytest
import torch
from transformers import SamConfig, SamModel

from sam_train.modeling.build import assemble, build_sam_vit, sam_model_registry
from sam_train.modeling.image_encoder.vit import ImageEncoderViT
from sam_train.modeling.sam import Sam
from sam_train.modeling.weights.hugging_face import (
    from_hugging_face,
    read_config,
    read_weights,
    to_hugging_face,
    write_folder,
)
from sam_train.modeling.weights.loading import load_official
from sam_train.modeling.weights.official_names import from_official, to_official
from tools.checkpoint import main

DIM = 32


@pytest.fixture(scope="module")
def theirs() -> SamModel:
    torch.manual_seed(0)
    vision = {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "global_attn_indexes": [1],
        "output_channels": DIM,
        "num_pos_feats": DIM // 2,
        "image_size": 64,
    }
    decoder = {"hidden_size": DIM, "mlp_dim": 64, "layer_norm_eps": 1e-5}
    config = SamConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": DIM, "image_size": 64},
        mask_decoder_config=decoder,
    )
    model = SamModel(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    return model


@pytest.fixture(scope="module")
def ours(theirs: SamModel) -> Sam:
    encoder = ImageEncoderViT(64, 24, depth=2, num_heads=3, global_attn_indexes=(1,), out_chans=DIM)
    sam = assemble(encoder, dim=DIM, depth=2, num_heads=8, mlp_dim=64, dropout=0.0)
    sam.load_state_dict(from_official(from_hugging_face(theirs.state_dict()), sam))
    return sam.eval().requires_grad_(False)


def test_the_same_weights_answer_alike_there_and_here(theirs: SamModel, ours: Sam) -> None:
    image = torch.randn(1, 3, 64, 64)
    embedding = ours.image_encoder(image)
    expected = theirs.get_image_embeddings(image)
    assert (embedding - expected).abs().max() < 1e-5
    coords, labels = 64 * torch.rand(2, 3, 2), torch.tensor([[1, 0, 1], [1, 1, 0]])
    box = torch.tensor([[4.0, 6.0, 40.0, 50.0]]).expand(2, 4)
    for boxes, multimask in ((None, True), (box, False)):
        logits, iou_pred = ours.predict_low_res(embedding, (coords, labels), boxes, None, multimask)
        answer = theirs(
            image_embeddings=embedding,
            input_points=coords[None],
            input_labels=labels[None],
            input_boxes=None if boxes is None else boxes[None],
            multimask_output=multimask,
        )
        assert (answer.pred_masks[0] - logits).abs().max() < 1e-4
        assert (answer.iou_scores[0] - iou_pred).abs().max() < 1e-4
        assert logits.std() > 0.01  # the bounds above mean something


def test_weights_come_back_from_there_unchanged(theirs: SamModel, ours: Sam) -> None:
    there = to_hugging_face(to_official(ours.state_dict(), ours))
    expected = theirs.state_dict()
    assert there.keys() == expected.keys()
    assert all(torch.equal(there[name], tensor) for name, tensor in expected.items())


def test_either_name_of_the_positions_is_enough(theirs: SamModel) -> None:
    weights = dict(theirs.state_dict())
    whole = from_hugging_face(weights)
    del weights["prompt_encoder.shared_embedding.positional_embedding"]
    part = from_hugging_face(weights)
    assert part.keys() == whole.keys()


def test_a_saved_folder_is_read(theirs: SamModel, tmp_path: Path) -> None:
    theirs.save_pretrained(tmp_path)
    read = from_hugging_face(read_weights(tmp_path))
    expected = from_hugging_face(theirs.state_dict())
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in expected.items())


def config_of(folder: Path, **config: object) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "config.json"


def test_what_a_folder_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no .*config.json: a folder of transformers"):
        read_config(tmp_path / "config.json")
    with pytest.raises(ValueError, match="type 'sam2', not 'sam'"):
        read_config(config_of(tmp_path, model_type="sam2"))
    with pytest.raises(ValueError, match="a ViT 24 wide with 2 blocks, which is none of vit_b"):
        vision = {"hidden_size": 24, "num_hidden_layers": 2}
        read_config(config_of(tmp_path, model_type="sam", vision_config=vision))
    with pytest.raises(ValueError, match="no config.json of transformers"):
        read_config(config_of(tmp_path))
    for vision in (None, {"image_size": "large"}):
        with pytest.raises(ValueError, match="no config.json of transformers"):
            read_config(config_of(tmp_path, model_type="sam", vision_config=vision))
    with pytest.raises(FileNotFoundError, match="no weights in"):
        read_weights(tmp_path)
    for text in ("{", "[]"):
        (tmp_path / "model.safetensors.index.json").write_text(text)
        with pytest.raises(ValueError, match="index.json does not say which parts there are"):
            read_weights(tmp_path)


def test_a_config_without_sizes_describes_vit_b(tmp_path: Path) -> None:
    name, options = read_config(config_of(tmp_path, model_type="sam"))
    assert (name, options) == ("vit_b", {"image_size": 1024, "decoder_depth": 2})


def test_only_sams_own_encoders_can_be_written(tmp_path: Path) -> None:
    sam = sam_model_registry["tiny"](image_size=64, dim=32)
    with pytest.raises(ValueError, match="no SamModel like tiny: only vit_b, vit_l, vit_h"):
        write_folder(sam, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_weights_of_transformers_in_a_plain_file_say_what_to_do(
    theirs: SamModel, ours: Sam, tmp_path: Path
) -> None:
    torch.save(dict(theirs.state_dict()), tmp_path / "sam.pth")
    with pytest.raises(ValueError, match="names are Hugging Face's: convert its folder with"):
        load_official(ours, tmp_path / "sam.pth")


def test_the_command_says_what_it_cannot_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken.json").touch()
    for arguments, sentence in (
        (["m.pth", str(tmp_path / "taken.safetensors")], "taken.json is there already"),
        ([str(tmp_path), str(tmp_path / "m.safetensors")], "There is no .*config.json"),
        (["m.pth", str(tmp_path)], "is there already: name another target"),
        (["m.pth", "m.onnx"], "m.onnx is no kind of checkpoint"),
        (["m.pth", str(tmp_path / "m.safetensors")], "there is no checkpoint file m.pth"),
    ):
        with pytest.raises(SystemExit, match=sentence):
            main(arguments)


@pytest.mark.slow
def test_vit_b_goes_there_and_comes_back(tmp_path: Path) -> None:
    sam = build_sam_vit("vit_b", image_size=64, decoder_depth=3)
    write_folder(sam, tmp_path / "there")
    theirs = SamModel.from_pretrained(tmp_path / "there").eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        difference = theirs.get_image_embeddings(image) - sam.image_encoder(image)
    assert difference.abs().max() < 1e-4
    main([str(tmp_path / "there"), str(tmp_path / "back.pth")])
    back = build_sam_vit("vit_b", tmp_path / "back.pth", image_size=64, decoder_depth=3)
    torch.testing.assert_close(back.state_dict(), sam.state_dict(), rtol=0, atol=0)
