"""From a sample of a shard to a training example: one view of the image, some of its masks."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Int

from sam_train.data.images import check_recorded_size, image_size
from sam_train.data.records import Annotation, BadSample, InvalidRecord, Record, Sample
from sam_train.data.stream.collate import Example
from sam_train.data.stream.color_jitter import jitter_colors
from sam_train.data.stream.filters import MaskFilter
from sam_train.data.transforms import (
    View,
    boxes_on_grid,
    decode_image,
    fitting_dct_scale,
    jittered_view,
    view_grid,
    view_image,
    view_masks,
    whole_view,
)


class NoObjects(BadSample):
    """An image without any mask that could be trained on."""


@dataclass(frozen=True)
class ExampleMaker:
    """Draws a view of the image and up to `max_masks` of its masks.

    The masks are drawn before any is decoded, and none is painted at the image's own size.
    On SA-1B neither flip nor jitter is used (SAM, App. A). `color_jitter` is its strength, 0 to 1.
    With `reduced_decode` a JPEG of twice the input's size or more is decoded at half of it (a
    quarter, an eighth): a fifth faster and less smooth, one to five grey levels off on average.
    `keeps_aspect` is that of the model (`Sam.keeps_aspect`).
    """

    image_size: int
    mask_size: int
    keeps_aspect: bool = True
    max_masks: int = 64
    mask_filter: MaskFilter = field(default_factory=MaskFilter)
    flip: bool = False
    scale_range: Sequence[float] | None = None
    color_jitter: float = 0.0
    reduced_decode: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_masks < 1:
            raise ValueError(f"make_example.max_masks is {self.max_masks}; it must be at least 1")
        if not 0 <= self.color_jitter <= 1:
            raise ValueError(f"make_example.color_jitter is {self.color_jitter}; it is from 0 to 1")
        if self.scale_range is None:
            return
        if len(self.scale_range) != 2 or not 0 < self.scale_range[0] <= self.scale_range[1]:
            raise ValueError(
                f"make_example.scale_range is {list(self.scale_range)}; it must be two positive "
                "numbers, the smaller one first: [0.1, 2.0]"
            )

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Example:
        """Raises a BadSample where the image, its record or all of its masks are of no use."""
        info = sample.record["image"]
        size = (info["height"], info["width"])
        view = self._choose_view(size, rng)
        gt_masks, ids = self._choose_masks(sample.record, view, rng)
        check_recorded_size(image_size(sample.image_bytes), info)
        scale = fitting_dct_scale(view, size) if self.reduced_decode else 1
        image = view_image(decode_image(sample.image_bytes, dct_scale=scale), view, self.image_size)
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
            return whole_view(
                size, self.image_size, flipped=flipped, keeps_aspect=self.keeps_aspect
            )
        return jittered_view(
            size,
            self.image_size,
            rng,
            scale_range=(self.scale_range[0], self.scale_range[1]),
            flipped=flipped,
            keeps_aspect=self.keeps_aspect,
        )

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
        order = rng.permutation(np.flatnonzero(boxes_on_grid(boxes, rows, columns)))
        try:
            masks, ids = self._paint_masks([kept[index] for index in order], rows, columns)
        except ValueError as error:
            raise InvalidRecord(f"One of its masks is broken: {error}") from error
        if not ids:
            raise NoObjects(
                f"None of its {len(record['annotations'])} masks is left: {len(kept)} pass the "
                f"filter, none of them is seen on a grid of {self.mask_size} cells."
            )
        return masks, ids

    def _paint_masks(
        self,
        candidates: Sequence[Annotation],
        rows: Int[np.ndarray, " h"],
        columns: Int[np.ndarray, " w"],
    ) -> tuple[Bool[np.ndarray, "n s s"], list[int]]:
        """The first `max_masks` that the grid does not lose, and their ids."""
        parts: list[Bool[np.ndarray, "_ s s"]] = []
        ids: list[int] = []
        while not parts or (candidates and len(ids) < self.max_masks):
            wanted = self.max_masks - len(ids)
            chosen, candidates = candidates[:wanted], candidates[wanted:]
            rles = [annotation["segmentation"] for annotation in chosen]
            masks = view_masks(rles, rows, columns, self.mask_size)
            seen = np.flatnonzero(masks.any((1, 2)))
            parts.append(masks if len(seen) == len(masks) else masks[seen])
            ids += [chosen[place]["id"] for place in seen.tolist()]
        return parts[0] if len(parts) == 1 else np.concatenate(parts), ids


def object_seed(seed: int, key: str, id: int) -> int:
    """A 64-bit number that belongs to one object of one image, in every run, batch and worker."""
    digest = hashlib.blake2b(f"{seed}/{key}/{id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
