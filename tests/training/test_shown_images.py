"""What a model is shown of a wide image: in training, in validation, and by its predictor."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

from sam_train.data.images import encode_jpeg, read_image
from sam_train.data.records import Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.scenes import draw_scene
from sam_train.data.sets.labeled_image import LabeledImage
from sam_train.data.stream.collate import collate
from sam_train.inference.predictor import SamPredictor
from sam_train.interaction.sampling import mask_boxes, mask_centre, to_input_frame
from sam_train.training.watch.validation import model_input

CONFIGS = Path(__file__).parents[2] / "configs"
HEIGHT, WIDTH = 90, 150
MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[20:61, 30:111] = True
JPEG = encode_jpeg(draw_scene(0, (HEIGHT, WIDTH)).image)
SAMPLE = Sample(
    "wide",
    JPEG,
    {
        "image": {"image_id": 0, "width": WIDTH, "height": HEIGHT, "file_name": "wide.jpg"},
        "annotations": [annotation_from_rle(encode_mask(MASK), id=0)],
    },
)
LABELED = LabeledImage("wide", lambda: read_image(JPEG), lambda: [encode_mask(MASK)])


@pytest.mark.parametrize(
    ("model", "input_size"),
    [("tiny", (38, 64)), ("efficient_sam_ti", (64, 64)), ("efficient_sam_s", (64, 64))],
)
def test_training_and_validation_show_a_model_what_its_predictor_shows(
    model: str, input_size: tuple[int, int]
) -> None:
    overrides = [f"model={model}", "model.image_size=64", "data=shards", "mask_size=64"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = compose("train", overrides)
    sam = instantiate(cfg.model).requires_grad_(False)
    seen: list[Tensor] = []
    sam.image_encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))

    predictor = SamPredictor(sam)
    predictor.set_image(read_image(JPEG))
    batch = collate([instantiate(cfg.data.make_example)(SAMPLE, np.random.default_rng(0))])
    sam.encode(batch["images"], batch["input_sizes"])
    image, gt_masks, validated_size = model_input(sam, LABELED, 1)
    sam.encode(image[None], torch.tensor([validated_size]))

    assert predictor.input_size == validated_size == input_size
    assert batch["input_sizes"].tolist() == [list(input_size)]
    shown, trained, validated = (x * sam.pixel_std for x in seen)
    assert torch.equal(trained, validated)
    assert (trained - shown).abs().max() < 1.001  # training rounds to whole grey levels

    # Boxes and clicks of the masks' grids are where the predictor puts them, up to a cell.
    corners = np.array([30, 20, 110, 60])
    box = predictor.transform.apply_boxes(corners, (HEIGHT, WIDTH))
    for masks in (batch["gt_masks"], gt_masks):
        cell = 64 / masks.shape[-1]
        found = to_input_frame(mask_boxes(masks), cell).numpy()
        assert np.abs(found - box).max() <= cell
        (centre,) = to_input_frame(mask_centre(masks), cell).numpy()
        assert (centre > box[0, :2]).all() and (centre < box[0, 2:]).all()
