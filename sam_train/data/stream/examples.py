"""From a sample of a shard to a training example: one view of the image, some of its masks."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool

from sam_train.data.images import check_recorded_size
from sam_train.data.records import BadSample, InvalidRecord, Record, Sample
from sam_train.data.stream.collate import Example
from sam_train.data.stream.color_jitter import jitter_colors
from sam_train.data.stream.filters import MaskFilter
from sam_train.data.transforms import (
    View,
    boxes_on_grid,
    decode_image,
    jittered_view,
    view_grid,
    view_image,
    view_mask,
    whole_view,
)


class NoObjects(BadSample):
    """An image without any mask that could be trained on."""


@dataclass(frozen=True)
class ExampleMaker:
    """Draws a view of the image and up to `max_masks` of its masks.

    The masks are drawn before any is decoded, and none is painted at the image's own size.
    On SA-1B neither flip nor jitter is used (SAM, App. A). `color_jitter` is its strength, 0 to 1.
    """

    image_size: int
    mask_size: int
    max_masks: int = 64
    mask_filter: MaskFilter = field(default_factory=MaskFilter)
    flip: bool = False
    scale_range: Sequence[float] | None = None
    color_jitter: float = 0.0
    seed: int = 0

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Example:
        """Raises a BadSample where the image, its record or all of its masks are of no use."""
        info = sample.record["image"]
        view = self._choose_view((info["height"], info["width"]), rng)
        gt_masks, ids = self._choose_masks(sample.record, view, rng)
        image = decode_image(sample.image_bytes)
        check_recorded_size((image.shape[1], image.shape[2]), info)
        image = view_image(image, view, self.image_size)
        if self.color_jitter:
            shown = image[:, : view.input_size[0], : view.input_size[1]]  # padding stays black
            shown[:] = jitter_colors(shown, rng, strength=self.color_jitter)
        return {
            "key": sample.key,
            "image": image,
            "input_size": view.input_size,
            "original_size": (view.height, view.width),
            "gt_masks": torch.from_numpy(gt_masks),
            "object_seeds": torch.tensor([object_seed(self.seed, sample.key, id) for id in ids]),
        }

    def _choose_view(self, size: tuple[int, int], rng: np.random.Generator) -> View:
        flipped = self.flip and bool(rng.random() < 0.5)
        if self.scale_range is None:
            return whole_view(size, self.image_size, flipped=flipped)
        low, high = self.scale_range
        return jittered_view(size, self.image_size, rng, scale_range=(low, high), flipped=flipped)

    def _choose_masks(
        self, record: Record, view: View, rng: np.random.Generator
    ) -> tuple[Bool[np.ndarray, "n s s"], list[int]]:
        """Draws masks until enough are not empty on the grid; their ids beside them."""
        rows, columns = view_grid(view, self.image_size, self.mask_size)
        try:
            kept = self.mask_filter(record, view)
            boxes = np.array([a["bbox"] for a in kept], np.float64).reshape(-1, 4)
        except (TypeError, ValueError, KeyError) as error:
            raise InvalidRecord(f"A field of its masks makes no sense: {error}.") from error
        candidates = np.flatnonzero(boxes_on_grid(boxes, rows, columns))

        masks: list[Bool[np.ndarray, "s s"]] = []
        ids: list[int] = []
        for index in rng.permutation(candidates):
            try:
                mask = view_mask(kept[index]["segmentation"], rows, columns, self.mask_size)
            except ValueError as error:
                raise InvalidRecord(f"Mask {kept[index]['id']}: {error}") from error
            if mask.any():
                masks.append(mask)
                ids.append(kept[index]["id"])
            if len(masks) == self.max_masks:
                break
        if not masks:
            raise NoObjects(
                f"None of its {len(record['annotations'])} masks is left: {len(kept)} pass the "
                f"filter, none of them is seen on a grid of {self.mask_size} cells."
            )
        return np.stack(masks), ids


def object_seed(seed: int, key: str, id: int) -> int:
    """A 64-bit number that belongs to one object of one image, in every run, batch and worker."""
    digest = hashlib.blake2b(f"{seed}/{key}/{id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
