"""Batches: images of one size, and the masks of all of them in one row.

images          uint8 (B, 3, S, S)   RGB, 0 below and to the right of the image
input_sizes     int64 (B, 2)         (H, W) of the image in its frame
original_sizes  int64 (B, 2)         (H, W) of what is shown, before resizing
gt_masks        bool  (N, s, s)      in the padded input frame, at the mask grid's size
image_index     int64 (N,)           the image of each mask, ascending
object_seeds    int64 (N,)           from (seed, key, annotation id): the same in any batch
keys            list of B names
"""

from collections.abc import Sequence
from typing import TypedDict

import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor


class Example(TypedDict):
    """One image with at least one mask, ready for a batch."""

    key: str
    image: UInt8[Tensor, "3 S S"]
    input_size: tuple[int, int]
    original_size: tuple[int, int]
    gt_masks: Bool[Tensor, "n s s"]
    object_seeds: Int[Tensor, " n"]


class Batch(TypedDict):
    """Images and their masks; see the module's table."""

    images: UInt8[Tensor, "B 3 S S"]
    input_sizes: Int[Tensor, "B 2"]
    original_sizes: Int[Tensor, "B 2"]
    gt_masks: Bool[Tensor, "N s s"]
    image_index: Int[Tensor, " N"]
    object_seeds: Int[Tensor, " N"]
    keys: list[str]


def collate(examples: Sequence[Example]) -> Batch:
    """Puts images side by side and masks, of which every image has its own number, in a row."""
    counts = torch.tensor([len(example["gt_masks"]) for example in examples])
    return {
        "images": torch.stack([example["image"] for example in examples]),
        "input_sizes": torch.tensor([example["input_size"] for example in examples]),
        "original_sizes": torch.tensor([example["original_size"] for example in examples]),
        "gt_masks": torch.cat([example["gt_masks"] for example in examples]),
        "image_index": torch.repeat_interleave(torch.arange(len(examples)), counts),
        "object_seeds": torch.cat([example["object_seeds"] for example in examples]),
        "keys": [example["key"] for example in examples],
    }
