import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam_train import SamAutomaticMaskGenerator
from sam_train.data.rle import decode_rle, encode_mask
from sam_train.inference.automatic.candidates import Box, Candidate
from sam_train.inference.automatic.stitching import stitch
from sam_train.inference.point_grid import tile_boxes
from sam_train.inference.tiled_mask_generator import TiledMaskGenerator
from sam_train.modeling.sam import Sam

SIDE = 128
SIZE = (200, 460)


class Brightness(nn.Module):
    """An image encoder that sees how bright a place is, on the grid of the masks."""

    img_size = SIDE

    def forward(self, images: Tensor) -> Tensor:
        return F.interpolate(images.mean(1, keepdim=True), (SIDE // 4, SIDE // 4), mode="area")


class Clicks(nn.Module):
    def forward(self, points: tuple, boxes: None, masks: None, **_: Tensor) -> tuple:
        return points[0], points[0]

    def get_dense_pe(self) -> Tensor:
        return torch.zeros(1)


class AsBright(nn.Module):
    """Answers a click with all that is as bright."""

    def forward(
        self, image_embeddings: Tensor, sparse_prompt_embeddings: Tensor, **_: Tensor
    ) -> tuple[Tensor, Tensor]:
        x, y = (sparse_prompt_embeddings[:, 0] / 4).long().unbind(-1)
        difference = image_embeddings[0] - image_embeddings[0, 0, y, x][:, None, None]
        logits = 10 - 80 * difference.abs()
        return logits[:, None], torch.full((len(x), 1), 0.9)


def scene() -> tuple[np.ndarray, list[np.ndarray]]:
    """A long bar over several tiles, and two squares, on dark ground."""
    masks = np.zeros((3, *SIZE), bool)
    masks[0, 80:110, 30:430] = True
    masks[1, 20:50, 40:80] = True
    masks[2, 140:180, 300:340] = True
    image = np.full(SIZE, 10, np.uint8)
    for mask, level in zip(masks, (120, 200, 255), strict=True):
        image[mask] = level
    return np.repeat(image[..., None], 3, axis=2), list(masks)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


@pytest.fixture
def generator() -> SamAutomaticMaskGenerator:
    sam = Sam(Brightness(), Clicks(), AsBright()).eval()
    return SamAutomaticMaskGenerator(
        sam, points_per_side=8, stability_score_thresh=0.7, box_nms_thresh=0.9
    )


def test_objects_over_several_tiles_are_found_whole_and_once(
    generator: SamAutomaticMaskGenerator,
) -> None:
    image, masks = scene()
    tiled = TiledMaskGenerator(generator, tile_size=120, tile_overlap=40)
    found = [record["segmentation"] for record in tiled.generate(image)]

    for mask in masks:
        assert sum(iou(mask, other) > 0.2 for other in found) == 1
        assert max(iou(mask, other) for other in found) > 0.6  # the grid of the logits is coarse
    assert max(iou(masks[0], other) for other in found) > 0.9


def test_a_joined_mask_tells_of_all_its_tiles(generator: SamAutomaticMaskGenerator) -> None:
    image, masks = scene()
    tiled = TiledMaskGenerator(generator, tile_size=120, tile_overlap=40)
    (bar,) = [r for r in tiled.generate(image) if iou(r["segmentation"], masks[0]) > 0.9]

    assert bar["crop_box"][2] > 400
    assert len(bar["point_coords"]) > 3
    assert bar["area"] == bar["segmentation"].sum()


def test_a_mask_that_another_tile_does_not_carry_on_ends_in_no_straight_line() -> None:
    left, right = (0, 0, 120, 100), (80, 0, 200, 100)
    cut = candidate(left=40, right=120, bottom=60, crop=left)
    ends_before = candidate(left=80, right=116, bottom=60, crop=right)
    goes_on = candidate(left=80, right=150, bottom=60, crop=right)

    assert stitch([[cut], [ends_before]], (100, 200)) == []
    (joined,) = stitch([[cut], [goes_on]], (100, 200))
    assert joined.box == (40, 20, 149, 59)
    whole = candidate(left=102, right=140, bottom=60, crop=right)
    too_wide = candidate(left=102, right=120, bottom=80, crop=left)
    assert stitch([[too_wide], [whole]], (100, 200)) == [whole]


@pytest.mark.parametrize(
    ("size", "tile", "overlap", "place"),
    [
        ((100, 300), 120, 40, np.s_[50:51, 20:280]),  # as thin as a wire
        ((100, 130), 120, 40, np.s_[:, :]),  # the whole of an image that is little wider
        ((130, 100), 120, 40, np.s_[10:, 5:90]),
        ((100, 280), 120, 40, np.s_[20:90, 10:120]),  # ends where the first tile does
        ((100, 280), 120, 40, np.s_[20:90, 80:270]),  # begins where the second does
    ],
)
def test_what_the_tiles_see_of_an_object_becomes_the_object(
    size: tuple[int, int], tile: int, overlap: int, place: tuple[slice, slice]
) -> None:
    mask = np.zeros(size, bool)
    mask[place] = True
    tiles = []
    for crop in tile_boxes(size, tile, overlap):
        seen = np.zeros(size, bool)
        within = np.s_[crop[1] : crop[3], crop[0] : crop[2]]
        seen[within] = mask[within]
        tiles.append([of_mask(seen, crop)] if seen.any() else [])

    (stitched,) = stitch(tiles, size)
    assert (decode_rle(stitched.rle(size)) == mask).all()


def of_mask(mask: np.ndarray, crop: Box) -> Candidate:
    rows, columns = np.nonzero(mask)
    box = (int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max()))
    return Candidate(encode_mask(mask), int(mask.sum()), box, 0.9, 0.9, ((100.0, 20.0),), crop)


def candidate(*, left: int, right: int, bottom: int, crop: Box) -> Candidate:
    """A mask of the rows from 20 on in an image of 100 x 200 pixels."""
    mask = np.zeros((100, 200), bool)
    mask[20:bottom, left:right] = True
    return of_mask(mask, crop)


def test_an_image_smaller_than_a_tile_is_one_crop(generator: SamAutomaticMaskGenerator) -> None:
    image, _ = scene()
    assert TiledMaskGenerator(generator).generate(image)[0].keys() == (
        generator.generate(image)[0].keys()
    )


@pytest.mark.parametrize("length", [1, 119, 120, 121, 200, 201, 1000])
def test_tiles_cover_the_image_and_overlap(length: int) -> None:
    boxes = tile_boxes((50, length), 120, 40)
    covered = np.zeros(length, int)
    for x0, _, x1, _ in boxes:
        covered[x0:x1] += 1
    assert covered.min() >= 1
    assert all(a[2] - b[0] >= 40 for a, b in zip(boxes, boxes[1:], strict=False))


def test_an_overlap_as_large_as_a_tile_is_refused(generator: SamAutomaticMaskGenerator) -> None:
    with pytest.raises(ValueError, match="tile_overlap=64 must be above 0 and below tile_size=64"):
        TiledMaskGenerator(generator, tile_size=64, tile_overlap=64)
