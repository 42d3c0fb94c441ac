import struct
from typing import Any

import numpy as np
import pytest

from sam_train.data.images import UnreadableImage, encode_jpeg
from sam_train.data.records import InvalidRecord, Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.scenes import draw_scene
from sam_train.data.stream.examples import ExampleMaker, NoObjects, object_seed
from sam_train.data.stream.filters import MaskFilter


def sample(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (60, 80)) -> Sample:
    """An image with one rectangle for each (top, left, bottom, right); ids count from 0."""
    masks = []
    for top, left, bottom, right in boxes:
        mask = np.zeros(size, bool)
        mask[top:bottom, left:right] = True
        masks.append(mask)
    height, width = size
    image = np.full((*size, 3), 100, np.uint8)
    return Sample(
        "toy",
        encode_jpeg(image),
        {
            "image": {"image_id": 0, "width": width, "height": height, "file_name": "toy.jpg"},
            "annotations": [
                annotation_from_rle(encode_mask(mask), id=index) for index, mask in enumerate(masks)
            ],
        },
    )


def make(sample: Sample, seed: int = 0, **settings: Any) -> dict:
    maker = ExampleMaker(**{"image_size": 64, "mask_size": 16} | settings)
    return maker(sample, np.random.default_rng(seed))


def test_an_example_has_the_shapes_of_the_contract():
    example = make(sample((0, 0, 30, 40), (30, 40, 60, 80)))
    assert example["image"].shape == (3, 64, 64)
    assert example["input_size"] == (48, 64)
    assert example["original_size"] == (60, 80)
    assert example["gt_masks"].shape == (2, 16, 16)
    assert example["gt_masks"].sum((1, 2)).tolist() == [48, 48]
    assert (example["image"][:, 48:] == 0).all()


def test_at_most_max_masks_are_drawn_and_all_have_their_turn():
    corners = [(10 * row, 20 * column) for row in range(5) for column in range(4)]
    boxes = [(top, left, top + 10, left + 20) for top, left in corners]
    seeds = [make(sample(*boxes), seed, max_masks=3)["object_seeds"].tolist() for seed in range(40)]
    assert {len(drawn) for drawn in seeds} == {3}
    assert len({seed for drawn in seeds for seed in drawn}) == 20


def test_lost_masks_never_take_the_place_of_others():
    lost = [(0, 0, 1, 1)] * 30
    example = make(sample(*lost, (20, 20, 40, 40)), max_masks=1)
    assert example["object_seeds"].tolist() == [object_seed(0, "toy", 30)]


def test_a_mask_that_is_thinner_than_its_box_and_lost_is_drawn_again():
    thin = sample((0, 0, 60, 80), (20, 20, 40, 40))
    diagonal = np.eye(60, 80, dtype=bool)
    diagonal[2::5] = False  # the cell centres lie on every fifth pixel, from 2
    thin.record["annotations"][0] = annotation_from_rle(encode_mask(diagonal), id=0)
    for seed in range(10):
        assert make(thin, seed, max_masks=1)["gt_masks"].any()


def test_masks_of_nearly_the_whole_image_are_left_out():
    whole, most = (0, 0, 60, 80), (0, 0, 53, 80)
    example = make(sample(whole, most))
    assert example["object_seeds"].tolist() == [object_seed(0, "toy", 1)]
    everything = make(sample(whole, most), mask_filter=MaskFilter(max_area=1.0))
    assert len(everything["gt_masks"]) == 2


@pytest.mark.parametrize("boxes", [(), ((0, 0, 60, 80),), ((0, 0, 1, 1),)])
def test_an_image_without_objects_is_reported(boxes):
    with pytest.raises(NoObjects, match="None of its"):
        make(sample(*boxes))


def test_an_image_of_another_size_than_its_record_is_reported():
    good = sample((0, 0, 30, 40))
    turned = Sample("toy", encode_jpeg(np.zeros((80, 60, 3), np.uint8)), good.record)
    with pytest.raises(UnreadableImage, match="60 x 80 pixels, its record says 80 x 60"):
        make(turned)


def test_a_corrupt_image_is_reported():
    good = sample((0, 0, 30, 40))
    with pytest.raises(UnreadableImage, match="no usable image"):
        make(Sample("toy", good.image_bytes[:300], good.record))


def test_a_jpeg_of_200_megapixels_is_refused_by_its_header():
    good = sample((0, 0, 30, 40))
    frame = good.image_bytes.index(b"\xff\xc0") + 5  # its height and width, two bytes each
    huge = good.image_bytes[:frame] + struct.pack(">HH", 14_000, 15_000)
    with pytest.raises(UnreadableImage, match=r"more than 178,956,970"):
        make(Sample("toy", huge + good.image_bytes[frame + 4 :], good.record))


def test_a_reduced_decode_gives_nearly_the_same_image_and_the_same_masks():
    scene = draw_scene(0, (300, 400))
    info = {"image_id": 0, "width": 400, "height": 300, "file_name": "toy.jpg"}
    masks = [annotation_from_rle(encode_mask(mask), id=id) for id, mask in enumerate(scene.masks)]
    drawn = Sample("toy", encode_jpeg(scene.image), {"image": info, "annotations": masks})
    whole, reduced = (make(drawn, image_size=150, reduced_decode=on) for on in (False, True))
    assert whole["gt_masks"].equal(reduced["gt_masks"])
    assert 0 < (whole["image"].float() - reduced["image"].float()).abs().mean() < 3


def test_a_corrupt_mask_is_reported():
    bad = sample((0, 0, 30, 40))
    bad.record["annotations"][0]["segmentation"]["counts"] = "04"
    with pytest.raises(InvalidRecord, match="One of its masks is broken: The runs .* '04'"):
        make(bad)


@pytest.mark.parametrize("field, value", [("area", "many"), ("bbox", [1, 2]), ("bbox", None)])
def test_a_field_of_a_wrong_type_is_reported(field, value):
    bad = sample((0, 0, 30, 40), (0, 0, 10, 10))
    bad.record["annotations"][0][field] = value
    with pytest.raises(InvalidRecord, match="A field of its masks makes no sense"):
        make(bad)


def test_colour_jitter_is_off_unless_wanted_and_leaves_the_padding_black():
    plain, jittered = (make(sample((0, 0, 30, 40)), color_jitter=s)["image"] for s in (0.0, 0.5))
    assert (plain[:, :48] - 100).abs().max() <= 1
    assert (jittered[:, :48] != plain[:, :48]).all()
    assert (jittered[:, 48:] == 0).all()


def test_flip_and_jitter_move_image_and_masks_together():
    image = np.zeros((60, 80, 3), np.uint8)
    image[10:40, 5:35] = 255
    record = sample((10, 5, 40, 35)).record
    for seed in range(20):
        example = make(
            Sample("toy", encode_jpeg(image), record), seed,
            mask_size=64, flip=True, scale_range=(0.5, 2.0),
        )  # fmt: skip
        shown = example["image"][0] > 127
        assert (shown ^ example["gt_masks"][0]).float().mean() < 0.03


def test_object_seeds_depend_on_seed_key_and_id():
    seeds = {object_seed(s, k, i) for s in (0, 1) for k in ("a", "b") for i in (0, 1)}
    assert len(seeds) == 8
    assert object_seed(0, "a", 0) == object_seed(0, "a", 0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_masks", 0),
        ("color_jitter", 1.5),
        ("scale_range", [0.5]),
        ("scale_range", [2.0, 0.1]),
        ("scale_range", [0.0, 1.0]),
    ],
)
def test_settings_that_cannot_give_an_example_are_refused_at_once(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"make_example.{key} is "):
        ExampleMaker(image_size=64, mask_size=16, **{key: value})
