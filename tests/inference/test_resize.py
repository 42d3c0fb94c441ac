import numpy as np
import pytest
import torch
from segment_anything.utils.transforms import ResizeLongestSide as Official

from sam_train.inference.resize import ResizeLongestSide

SIZES = [(173, 211), (480, 640), (1500, 2250), (7, 1000), (64, 64)]


@pytest.mark.parametrize("size", SIZES)
def test_images_are_resized_as_by_the_official_transform(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    ours, official = (resize(128).apply_image(image) for resize in (ResizeLongestSide, Official))
    assert np.array_equal(ours, official)


@pytest.mark.parametrize("size", SIZES)
def test_points_and_boxes_are_scaled_as_by_the_official_transform(size: tuple[int, int]) -> None:
    boxes = np.random.default_rng(0).integers(0, 200, (5, 4))
    ours, official = ResizeLongestSide(1024), Official(1024)
    assert np.array_equal(ours.apply_boxes(boxes, size), official.apply_boxes(boxes, size))
    tensor = torch.from_numpy(boxes)
    torch.testing.assert_close(
        ours.apply_boxes_torch(tensor, size), official.apply_boxes_torch(tensor, size)
    )


def test_a_batch_on_the_device_is_resized_nearly_as_by_pil() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8)
    resize = ResizeLongestSide(32)
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    resized = resize.apply_image_torch(batch)[0].permute(1, 2, 0)
    np.testing.assert_allclose(resized.numpy(), resize.apply_image(image), atol=1)
