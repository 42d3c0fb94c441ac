"""Exported graphs against the network, at sizes that the example of the export did not have."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import config

from sam_train.data.scenes import draw_scene
from sam_train.inference.export import export_model
from sam_train.inference.model_card import model_card, results_of
from sam_train.inference.onnx_model import OnnxSam, load_onnx, open_session
from sam_train.inference.predictor import SamPredictor
from sam_train.interaction.prompts import Prompts
from sam_train.modeling.build import assemble, assemble_efficient, assemble_tiny, build_sam_tiny
from sam_train.modeling.image_encoder import vit
from sam_train.modeling.image_encoder.detailed_vit import ImageEncoderDetailed
from sam_train.modeling.image_encoder.plain_vit import ImageEncoderPlain
from sam_train.modeling.image_encoder.vit import ImageEncoderViT
from sam_train.modeling.sam import Sam
from tools.export import main

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
SIDE = 64


def small_model(family: str) -> Sam:
    """A model of few layers whose logits are as steep as a trained one's."""
    torch.manual_seed(0)
    width = {"dim": 16, "depth": 1, "num_heads": 2, "mlp_dim": 32, "dropout": 0.0}
    if family == "tiny":
        sam = build_sam_tiny(image_size=SIDE, dim=32)
    elif family == "vit":
        encoder = ImageEncoderViT(
            SIDE, 16, depth=1, num_heads=2, global_attn_indexes=(0,), out_chans=16
        )
        sam = assemble(encoder, **width)
    elif family == "detailed":
        encoder = ImageEncoderDetailed(SIDE, 16, depth=1, num_heads=2, out_chans=16)
        sam = assemble_tiny(encoder, dim=16, dropout=0.0)
    else:
        plain = ImageEncoderPlain(SIDE, 16, depth=1, num_heads=2, out_chans=16)
        sam = assemble_efficient(plain, **width)
    sam.recipe = ("tiny", {"image_size": SIDE, "dim": 32})
    with torch.no_grad():
        for parameter in sam.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
        for mlp in sam.mask_decoder.output_hypernetworks_mlps:
            mlp.layers[-1].weight *= 20
    return sam.eval().requires_grad_(False)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("vit", marks=pytest.mark.slow),
        pytest.param("tiny", marks=pytest.mark.slow),
        pytest.param("detailed", marks=pytest.mark.slow),
        pytest.param("efficient", marks=pytest.mark.slow),
    ],
)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Sam, Path]:
    folder = tmp_path_factory.mktemp(request.param) / "onnx"
    return export_small(request.param, folder), folder


def export_small(family: str, folder: Path) -> Sam:
    """Exports a small model; torch cannot trace through the checks of shapes that tests add."""
    sam = small_model(family)
    config.update("jaxtyping_disable", True)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vit, "EXPORTED_TERMS", 2 * 2 * 4**3)  # two rows of queries at a time
            export_model(sam, folder, int8=family == "tiny", origin={"sha256": "abc"})
    finally:
        config.update("jaxtyping_disable", False)
    return sam


def test_images_of_any_number_and_size_are_embedded_alike(exported: tuple[Sam, Path]) -> None:
    sam, folder = exported
    session = open_session(folder / "encoder.onnx")
    for count, height, width in ((1, SIDE, SIDE), (1, 20, SIDE), (3, SIDE, 33)):
        images = 255 * torch.rand(count, 3, height, width)
        (found,) = session.run(None, {"images": images.numpy()})
        expected = sam.image_encoder(sam.preprocess(images))
        assert np.abs(found - expected.numpy()).max() < 1e-4


@pytest.mark.parametrize("sizes", [(1, 1, 2), (1, 1, 1), (1, 5, 3), (2, 4, 9), (1, 2, 0)])
def test_prompts_of_any_number_are_decoded_alike(
    exported: tuple[Sam, Path], sizes: tuple[int, int, int]
) -> None:
    sam, folder = exported
    images, count, points = sizes
    embeddings = sam.image_encoder(sam.preprocess(255 * torch.rand(images, 3, SIDE, SIDE)))
    index = torch.randint(0, images, (count,))
    prompts = Prompts(
        SIDE * torch.rand(count, points, 2),
        torch.randint(-1, 4, (count, points)),
        torch.randn(count, 1, SIDE // 4, SIDE // 4),
        torch.rand(count) > 0.5,
    )
    expected = sam.decode(embeddings, prompts, index)
    feeds = {
        "image_embeddings": embeddings,
        "image_index": index,
        "point_coords": prompts.point_coords,
        "point_labels": prompts.point_labels,
        "mask_inputs": prompts.mask_inputs,
        "has_mask": prompts.has_mask,
    }
    found = open_session(folder / "decoder.onnx").run(
        None, {name: part.numpy() for name, part in feeds.items()}
    )
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other.numpy()).max() < 1e-3
    assert expected[0].std() > 0.1  # the bound above means something


@pytest.mark.parametrize("size", [(64, 64), (100, 37), (41, 150)])
def test_a_predictor_answers_from_the_graphs_as_from_the_network(
    exported: tuple[Sam, Path], size: tuple[int, int]
) -> None:
    sam, folder = exported
    ours, theirs = SamPredictor(load_onnx(folder / "decoder.onnx")), SamPredictor(sam)
    image = draw_scene(3, (max(size), max(size))).image[: size[0], : size[1]]
    click = {"point_coords": [[20, 30], [9, 9]], "point_labels": [1, 0]}
    box = {"box": [3, 4, 30, 35]}
    for predictor in (ours, theirs):
        predictor.set_image(image)
    previous = theirs.predict(**click, multimask_output=False)[2]
    for prompt in (click, box, click | box, click | {"mask_input": previous}):
        for multimask in (True, False):
            one, other = (
                p.predict(**prompt, multimask_output=multimask, return_logits=True)
                for p in (ours, theirs)
            )
            for found, expected in zip(one, other, strict=True):
                assert found.shape == expected.shape
                assert np.abs(found - expected).max() < 1e-3


def test_an_export_describes_itself(exported: tuple[Sam, Path], tmp_path: Path) -> None:
    sam, folder = exported
    description = json.loads((folder / "export.json").read_text())
    assert description["files"].keys() == {path.name for path in folder.glob("*.onnx")}
    assert max(description["difference"]["decoder.onnx"].values()) < 1e-3
    (tmp_path / "config.yaml").write_text("dataset: photos/dataset\nseed: 3\n")
    report = {"dataset_version": 4, "final": {"iou_at_1": 0.3651}, "checkpoint_sha256": "abc"}
    (tmp_path / "report.json").write_text(json.dumps(report))
    checkpoint = tmp_path / "model.safetensors"
    results = results_of(checkpoint, "abc")
    card = model_card(description, checkpoint=checkpoint, results=results, license="CC0")
    for text in ("| iou_at_1 | 0.365 |", '"photos/dataset"', "dataset_version 4", "CC0", "seed: 3"):
        assert text in card
    assert description["files"]["decoder.onnx"]["sha256"] in card
    assert ("encoder.int8.onnx" in card) == (folder / "encoder.int8.onnx").exists()


@pytest.mark.slow
def test_8_bits_give_nearly_the_same_masks(tmp_path: Path) -> None:
    sam = export_small("tiny", tmp_path / "onnx")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "onnx").glob("*.onnx")}
    assert sizes["decoder.int8.onnx"] < sizes["decoder.onnx"]
    image = draw_scene(3, (96, 96)).image
    assert not (tmp_path / "onnx" / "encoder.int8.onnx").exists()  # it only has convolutions
    masks = []
    for model in (sam, load_onnx(tmp_path / "onnx" / "decoder.int8.onnx")):
        predictor = SamPredictor(model)
        predictor.set_image(image)
        masks.append(predictor.predict([[40, 40]], [1])[0])
    agreement = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
    assert agreement > 0.8


def graph(path: Path, opset: int = 18) -> Path:
    """A graph that gives back what it takes."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "identity", [value], [result]),
        opset_imports=[onnx.helper.make_opsetid("", opset)],
        ir_version=9,
    )
    path.write_bytes(model.SerializeToString())
    return path


def test_files_that_are_no_export_are_named(tmp_path: Path) -> None:
    decoder = tmp_path / "decoder.onnx"
    with pytest.raises(FileNotFoundError, match="no ONNX file .*encoder.onnx"):
        load_onnx(decoder)
    graph(tmp_path / "encoder.onnx")
    decoder.write_bytes(b"not a graph")
    with pytest.raises(ValueError, match="decoder.onnx is no graph that ONNX Runtime .* can run"):
        load_onnx(decoder)
    graph(decoder, opset=99)
    with pytest.raises(ValueError, match="export it again, with an opset that this version has"):
        load_onnx(decoder)
    graph(decoder)
    with pytest.raises(ValueError, match="the graphs take x, not images; export with"):
        load_onnx(decoder)


def test_graphs_without_their_description_are_refused(
    exported: tuple[Sam, Path], tmp_path: Path
) -> None:
    for path in exported[1].glob("*.onnx"):
        (tmp_path / path.name).symlink_to(path)
    with pytest.raises(FileNotFoundError, match="copy the whole folder of the export"):
        load_onnx(tmp_path / "decoder.onnx")
    (tmp_path / "export.json").write_text('{"image_size": 64}')
    with pytest.raises(ValueError, match="does not describe an export"):
        load_onnx(tmp_path / "decoder.onnx")


def test_a_graph_of_another_export_is_refused(exported: tuple[Sam, Path], tmp_path: Path) -> None:
    shutil.copytree(exported[1], tmp_path, dirs_exist_ok=True)
    content = onnx.load(tmp_path / "decoder.onnx")
    content.doc_string = "of another model"
    onnx.save(content, tmp_path / "decoder.onnx")

    with pytest.raises(ValueError, match=r"decoder.onnx is not the file that export.json beside"):
        load_onnx(tmp_path / "decoder.onnx")


def test_no_prompt_gives_no_mask(exported: tuple[Sam, Path]) -> None:
    for model in (exported[0], load_onnx(exported[1] / "decoder.onnx")):
        predictor = SamPredictor(model)
        predictor.set_image(np.zeros((20, 30, 3), np.uint8))
        masks, iou_pred, _ = predictor.predict_torch(
            torch.zeros(0, 1, 2), torch.zeros(0, 1, dtype=torch.int64)
        )
        assert (masks.shape, iou_pred.shape) == ((0, 3, 20, 30), (0, 3))


def test_what_cannot_be_exported_is_said_before_the_work(tmp_path: Path) -> None:
    sam = build_sam_tiny(image_size=SIDE, dim=32)
    with pytest.raises(ValueError, match="opset 11 cannot be written and run here: choose 20 to"):
        export_model(sam, tmp_path / "out", opset=11)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()
    with pytest.raises(ValueError, match="out is not empty: name another folder"):
        export_model(sam, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(SystemExit, match="export: there is no checkpoint file m.pth"):
        main(["m.pth", "--out", str(tmp_path / "new")])
    sam.mask_decoder.iou_token.weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="weights mask_decoder.iou_token.weight are not finite"):
        export_model(sam, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_export_is_a_model_wherever_one_is_loaded(exported: tuple[Sam, Path]) -> None:
    from sam_train.evaluation.models.sam import known_checkpoint, load_sam

    model = load_sam(known_checkpoint(exported[1] / "decoder.onnx", None))
    assert isinstance(model, OnnxSam)


def test_a_given_mask_is_clicked_on_with_an_export_behind_the_page(
    exported: tuple[Sam, Path],
) -> None:
    from data_engine.service.workbench.decoding import SURE, mask_as_logits
    from data_engine.service.workbench.embeddings import PreparedImage
    from sam_train.data.rle import encode_mask
    from sam_train.evaluation.models.sam import SamSegmenter

    given = np.zeros((40, 60), dtype=bool)
    given[10:30, 20:50] = True
    fed_back = []
    for model in (exported[0], load_onnx(exported[1] / "decoder.onnx")):
        predictor = SamPredictor(model)
        predictor.set_image(draw_scene(3, (60, 60)).image[:40])
        prepared = PreparedImage("k", b"", "", (40, 60), predictor, SamSegmenter(predictor))
        fed_back.append(mask_as_logits(encode_mask(given), prepared))
    assert torch.equal(*fed_back)
    assert (fed_back[0] == SURE).any()
