"""How a step is cut into passes that fit into memory; its gradients stay the same."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sam_train.data.stream.collate import Batch


@dataclass(frozen=True)
class Passes:
    """How much is differentiated at once: images by the encoder, objects by the decoder.

    None takes all of a batch. `decoder_memory_gib` limits what the graph of one decoder call
    keeps, in place of a number of objects; its backward needs about a third more.
    """

    images_per_pass: int | None = None
    objects_per_call: int | None = None
    decoder_memory_gib: float | None = None

    def __post_init__(self) -> None:
        for name in ("images_per_pass", "objects_per_call", "decoder_memory_gib"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"passes.{name} is {value}; it must be positive, or null for all")
        if self.objects_per_call and self.decoder_memory_gib:
            raise ValueError("give passes.objects_per_call or passes.decoder_memory_gib, not both")

    def images(self, batch: Batch) -> Iterator[Batch]:
        """The batch in parts of so many images."""
        count = len(batch["images"])
        size = self.images_per_pass or count
        if size >= count:
            yield batch
            return
        for first in range(0, count, size):
            yield take_images(batch, first, min(first + size, count))

    def objects(self, batch: Batch, per_call: int | None) -> Iterator[Batch]:
        """The batch in parts of so many objects; every part holds all images."""
        count = len(batch["image_index"])
        size = per_call or count
        for first in range(0, count, size):
            yield take_objects(batch, slice(first, first + size))

    def choose_objects_per_call(self, graph_bytes: Callable[[int], int]) -> int | None:
        """How many objects the budget allows, from the bytes that graphs of 1 and 2 keep."""
        if self.decoder_memory_gib is None:
            return self.objects_per_call
        first, second = graph_bytes(1), graph_bytes(2)
        each = max(second - first, 1)
        room = self.decoder_memory_gib * 2**30 - (first - each)
        if room < each:
            raise ValueError(
                f"passes.decoder_memory_gib is {self.decoder_memory_gib}, but one object needs "
                f"{first / 2**30:.2f}: raise it, or lower model.image_size"
            )
        return int(room // each)


def take_images(batch: Batch, first: int, end: int) -> Batch:
    """The images from `first` to `end` with their objects."""
    mine = (batch["image_index"] >= first) & (batch["image_index"] < end)
    return {
        "images": batch["images"][first:end],
        "input_sizes": batch["input_sizes"][first:end],
        "original_sizes": batch["original_sizes"][first:end],
        "gt_masks": batch["gt_masks"][mine],
        "image_index": batch["image_index"][mine] - first,
        "object_seeds": batch["object_seeds"][mine],
        "keys": batch["keys"][first:end],
    }


def take_objects(batch: Batch, objects: slice | Tensor) -> Batch:
    """All images, and some of their objects."""
    return {
        **batch,
        "gt_masks": batch["gt_masks"][objects],
        "image_index": batch["image_index"][objects],
        "object_seeds": batch["object_seeds"][objects],
    }


def saved_bytes(forward: Callable[[], Any]) -> int:
    """What the graph of a computation keeps for its backward, each storage once."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    del result  # until here its storages could not be used again
    return sum(storages.values())
