"""Masks of 1500 x 2250 pixels to COCO's compressed run lengths.

Equal means the same strings. The peers are pycocotools, which needs the mask in Fortran order, and
segment-anything's `mask_to_rle_pytorch` with `coco_encode_rle`. The third row is given the boxes,
as automatic mask generation knows them.
"""

import numpy as np
import torch
from pycocotools import mask as coco
from segment_anything.utils.amg import coco_encode_rle, mask_to_rle_pytorch

from sam_train.data.rle import encode_mask, rle_box
from tools.benchmarks.comparison import Comparison
from tools.benchmarks.drawing.drawn_photo import draw_photo

MASKS = 32


def compare() -> list[Comparison]:
    """Against pycocotools and against segment-anything."""
    masks = np.stack(draw_photo(MASKS)[1])
    tensor = torch.from_numpy(masks)

    def ours() -> list[str]:
        return [encode_mask(mask)["counts"] for mask in masks]

    def of_pycocotools() -> list[str]:
        return [coco.encode(np.asfortranarray(mask, np.uint8))["counts"].decode() for mask in masks]

    def of_segment_anything() -> list[str]:
        return [coco_encode_rle(rle)["counts"] for rle in mask_to_rle_pytorch(tensor)]

    boxes = [tuple(rle_box(encode_mask(mask)).astype(int).tolist()) for mask in masks]

    def ours_with_boxes() -> list[str]:
        return [
            encode_mask(mask, box=box)["counts"] for mask, box in zip(masks, boxes, strict=True)
        ]

    rows = (
        ("rle_encode", "pycocotools", ours, of_pycocotools, 20.0),
        ("rle_encode", "segment-anything", ours, of_segment_anything, 40.0),
        ("rle_encode, known boxes", "pycocotools", ours_with_boxes, of_pycocotools, None),
    )
    return [
        Comparison(name, peer, work, theirs, equal=work() == theirs(), n=MASKS, target=target)
        for name, peer, work, theirs, target in rows
    ]
