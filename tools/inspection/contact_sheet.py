"""Images with their masks in colours, in rows, as one picture."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from sam_train.data.images import read_image
from sam_train.data.label_map import label_map
from sam_train.data.records import Sample
from sam_train.data.rle import resize_rle
from sam_train.evaluation.overlays import overlay_instances, overlay_labels, thumbnail

TILE = 320  # pixels a side
CAPTION = 22  # pixels below it
MARGIN = 6

Picture = UInt8[np.ndarray, "H W 3"]


def tile(sample: Sample) -> UInt8[np.ndarray, "342 320 3"]:
    """A thumbnail with coloured masks, and below it the number of masks and the key."""
    masks = [annotation["segmentation"] for annotation in sample.record["annotations"]]
    small = thumbnail(read_image(sample.image_bytes), TILE)
    drawn = overlay_instances(small, [resize_rle(mask, small.shape[:2]) for mask in masks])

    paper = np.full((TILE + CAPTION, TILE, 3), 255, np.uint8)
    top, left = (TILE - drawn.shape[0]) // 2, (TILE - drawn.shape[1]) // 2
    paper[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    text = f"{len(masks)}: {sample.key[-36:]}"
    cv2.putText(
        paper, text, (4, TILE + 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (40, 40, 40), 1, cv2.LINE_AA
    )
    return paper


def overlay(sample: Sample) -> Picture:
    """The image at its own size; where masks overlap, the smaller is seen."""
    image = read_image(sample.image_bytes)
    masks = [annotation["segmentation"] for annotation in sample.record["annotations"]]
    return overlay_labels(image, label_map(masks, image.shape[:2]))


def in_rows(tiles: Sequence[Picture], columns: int) -> UInt8[np.ndarray, "height width 3"]:
    """The tiles on white, in their order."""
    columns = min(columns, len(tiles))
    height, width = (side + MARGIN for side in tiles[0].shape[:2])
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * height + MARGIN, columns * width + MARGIN, 3), 255, np.uint8)
    for place, picture in enumerate(tiles):
        row, column = divmod(place, columns)
        top, left = MARGIN + row * height, MARGIN + column * width
        sheet[top : top + height - MARGIN, left : left + width - MARGIN] = picture
    return sheet
