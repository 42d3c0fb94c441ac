"""Models behind the three methods: ours beside the official predictor, SAM 2, and the floors."""

import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor as OfficialPredictor
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from segment_anything.utils.onnx import SamOnnxModel
from torch import nn

from sam_train.data.scenes import SceneSet
from sam_train.evaluation.models.baselines import ShapeSegmenter, SlicSegmenter
from sam_train.evaluation.models.onnx import OnnxSegmenter, onnx_segmenter
from sam_train.evaluation.models.sam import OfficialSegmenter, SamSegmenter
from sam_train.evaluation.models.segmenter import (
    ImagePrompts,
    Segmenter,
    full_masks,
    mask_windows,
)
from sam_train.evaluation.protocols.clicks import ClickProtocol
from sam_train.evaluation.sets.sampling import evaluated_images
from sam_train.inference.mask_filters import stability_score
from sam_train.inference.predictor import SamPredictor
from sam_train.modeling.build import assemble
from sam_train.modeling.image_encoder import vit
from sam_train.modeling.weights.loading import official_state_dict

SIDE, DIM = 64, 32


@pytest.fixture(scope="module")
def ours_and_official() -> tuple[SamSegmenter, OfficialSegmenter]:
    """Two networks with the same random weights, each behind the predictor of its package."""
    torch.manual_seed(0)
    encoder = vit.ImageEncoderViT(
        SIDE, 24, depth=2, num_heads=3, global_attn_indexes=(1,), out_chans=DIM
    )
    sam = assemble(encoder, dim=DIM, depth=2, num_heads=8, mlp_dim=64, dropout=0.0).eval()
    with torch.no_grad():
        for parameter in sam.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
        for mlp in sam.mask_decoder.output_hypernetworks_mlps:  # steep masks, as trained ones
            mlp.layers[-1].weight *= 100
    official = Sam(
        ImageEncoderViT(
            img_size=SIDE,
            embed_dim=24,
            depth=2,
            num_heads=3,
            global_attn_indexes=(1,),
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=14,
            out_chans=DIM,
        ),
        PromptEncoder(DIM, (SIDE // 16, SIDE // 16), (SIDE, SIDE), mask_in_chans=16),
        MaskDecoder(
            transformer_dim=DIM,
            transformer=TwoWayTransformer(depth=2, embedding_dim=DIM, mlp_dim=64, num_heads=8),
        ),
    )
    official.load_state_dict(official_state_dict(sam))
    return SamSegmenter(SamPredictor(sam)), OfficialSegmenter(OfficialPredictor(official.eval()))


def test_the_official_predictor_gives_the_same_numbers(ours_and_official):
    images = [*evaluated_images(SceneSet("scenes", 2, image_size=96), max_masks_per_image=4)]
    ours, official = (
        [row for image in images for row in ClickProtocol(clicks=(1, 3)).evaluate(model, image)]
        for model in ours_and_official
    )

    assert len(ours) == 8
    for row, expected in zip(ours, official, strict=True):
        numbers = {key: value for key, value in row.items() if isinstance(value, float)}
        assert numbers == pytest.approx({key: expected[key] for key in numbers}, abs=2e-3)
        assert row["clicks"][0] == expected["clicks"][0]
    assert 0 < np.mean([row["iou_at_1"] for row in ours]) < 1  # the bound above means something


def test_every_model_has_the_three_methods(ours_and_official):
    for model in (*ours_and_official, ShapeSegmenter(), SlicSegmenter()):
        assert isinstance(model, Segmenter)


def points(*clicks: tuple[float, float, int]) -> ImagePrompts:
    """All clicks for one object."""
    coords = torch.tensor([[[x, y] for x, y, _ in clicks]], dtype=torch.float32)
    return ImagePrompts(coords, torch.tensor([[label for _, _, label in clicks]]))


def mask_of(model: Segmenter, prompts: ImagePrompts) -> np.ndarray:
    answer = model.answer(prompts, multimask_output=True)
    return (model.enlarge(answer.most_confident())[0] > 0).numpy()


def test_a_disc_lies_around_the_click_and_others_take_from_it():
    model = ShapeSegmenter(disc_radius=0.1)
    model.set_image(np.zeros((50, 100, 3), np.uint8))
    y, x = np.mgrid[:50, :100]
    disc = (x - 30) ** 2 + (y - 20) ** 2 <= 100
    beside = (x - 40) ** 2 + (y - 20) ** 2 <= 100

    assert np.array_equal(mask_of(model, points((30, 20, 1))), disc)
    assert np.array_equal(mask_of(model, points((30, 20, 1), (40, 20, 0))), disc & ~beside)
    assert np.array_equal(mask_of(model, points((30, 20, 1), (40, 20, -1))), disc)


def test_a_filled_box_holds_its_corner_pixels():
    model = ShapeSegmenter()
    model.set_image(np.zeros((50, 100, 3), np.uint8))

    mask = mask_of(model, ImagePrompts(boxes=torch.tensor([[10.0, 20.0, 19.0, 24.0]])))

    assert mask.sum() == 10 * 5
    assert mask[20, 10] and mask[24, 19]


def test_a_superpixel_follows_the_colours():
    pytest.importorskip("skimage")
    image = np.zeros((60, 60, 3), np.uint8)
    image[:, 30:] = 255
    model = SlicSegmenter(segments=4)
    model.set_image(image)

    left = mask_of(model, points((10, 20, 1)))
    right = mask_of(model, ImagePrompts(boxes=torch.tensor([[30.0, 0.0, 59.0, 59.0]])))

    assert left[5:25, 5:25].all() and not left[:, 32:].any()
    assert right[:, 32:].all() and not right[:, :28].any()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_sam2_answers_from_its_package():
    pytest.importorskip("sam2")
    from sam_train.evaluation.models.sam2 import sam2_segmenter

    model = sam2_segmenter("configs/sam2.1/sam2.1_hiera_t.yaml", device="cpu")
    protocol = ClickProtocol(clicks=(1, 2), box_multimask_output=False)
    (image,) = evaluated_images(SceneSet("scenes", 1, image_size=96), max_masks_per_image=2)

    rows = protocol.evaluate(model, image)

    assert len(rows) == 2
    assert all(0 <= row["iou_at_2"] <= 1 for row in rows)


def test_the_quick_way_to_masks_is_the_way_through_all_logits(ours_and_official):
    model, _ = ours_and_official
    (image,) = evaluated_images(SceneSet("scenes", 1, image_size=150), max_masks_per_image=1)
    model.set_image(image.image)
    logits = model.answer(points((40, 70, 1)), multimask_output=True).low_res_logits[0]

    enlarged = model.enlarge(logits)
    windows = list(mask_windows(model, logits, image.size, offset=1.0))

    assert np.array_equal(full_masks(model, logits, image.size), (enlarged > 0).numpy())
    assert 0 < (enlarged > 0).float().mean() < 1
    expected = stability_score(enlarged, 0.0, 1.0).tolist()
    assert [window.stability for window in windows] == pytest.approx(expected)


def test_an_exported_decoder_gives_the_same_numbers(ours_and_official, tmp_path):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    ours, official = ours_and_official
    export_decoder(official.predictor.model, tmp_path / "decoder.onnx")
    exported = OnnxSegmenter(ours, onnxruntime.InferenceSession(tmp_path / "decoder.onnx"))
    (image,) = evaluated_images(SceneSet("scenes", 1, image_size=96), max_masks_per_image=3)

    rows, expected = (
        ClickProtocol(clicks=(1, 3)).evaluate(model, image) for model in (exported, ours)
    )

    for row, other in zip(rows, expected, strict=True):
        numbers = {key: value for key, value in row.items() if isinstance(value, float)}
        assert numbers == pytest.approx({key: other[key] for key in numbers}, abs=2e-3)


def export_decoder(sam: Sam, path: Path) -> None:
    """As segment_anything's `export_onnx_model.py` does."""
    grid = SIDE // 16
    inputs = {
        "image_embeddings": torch.randn(1, DIM, grid, grid),
        "point_coords": torch.rand(1, 5, 2) * SIDE,
        "point_labels": torch.randint(0, 4, (1, 5)).float(),
        "mask_input": torch.randn(1, 1, 4 * grid, 4 * grid),
        "has_mask_input": torch.ones(1),
        "orig_im_size": torch.tensor([SIDE * 1.0, SIDE * 1.0]),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            SamOnnxModel(sam, return_single_mask=False),
            tuple(inputs.values()),
            path,
            input_names=list(inputs),
            output_names=["masks", "iou_predictions", "low_res_masks"],
            dynamic_axes={name: {1: "num_points"} for name in ("point_coords", "point_labels")},
            opset_version=17,
            dynamo=False,
        )


def test_another_graph_is_refused(ours_and_official):
    class Graph:
        def get_inputs(self) -> list:
            return []

    with pytest.raises(ValueError, match="export the decoder"):
        OnnxSegmenter(ours_and_official[0], Graph())
    with pytest.raises(FileNotFoundError, match="no ONNX file none.onnx"):
        onnx_segmenter("m.safetensors", "none.onnx")
