"""The masks of crops of images: encoded several at once, then asked about point by point."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sam_train.inference.automatic.candidates import Box, Candidate, after_box_nms
from sam_train.inference.automatic.crop_masks import (
    FILTERS,
    Crop,
    DecodedMasks,
    MaskThresholds,
    crop_candidates,
)
from sam_train.inference.predictor import SamPredictor


@dataclass(frozen=True)
class PlannedCrop:
    """A crop of an image, and the points to ask about in shares of its sides."""

    image: UInt8[np.ndarray, "H W 3"]
    box: Box
    grid: Float[np.ndarray, "P 2"]

    @property
    def pixels(self) -> UInt8[np.ndarray, "h w 3"]:
        x0, y0, x1, y1 = self.box
        return self.image[y0:y1, x0:x1]

    @property
    def points(self) -> Float[np.ndarray, "P 2"]:
        """The points in pixels of the crop."""
        x0, y0, x1, y1 = self.box
        return self.grid * (x1 - x0, y1 - y0)


@dataclass(frozen=True)
class CropSettings:
    """How crops are worked through; under `bf16` the model runs with autocast."""

    thresholds: MaskThresholds
    box_nms_thresh: float = 0.7
    points_per_batch: int = 64
    crops_per_batch: int = 1
    bf16: bool = False

    def model_precision(self, device: torch.device) -> AbstractContextManager:
        return torch.autocast(device.type, torch.bfloat16) if self.bf16 else nullcontext()


def segment_crops(
    predictor: SamPredictor, planned: Sequence[PlannedCrop], settings: CropSettings
) -> Iterator[tuple[list[Candidate], Counter[str]]]:
    """The candidates of every crop, best first, and how many were left after each filter."""
    for start in range(0, len(planned), settings.crops_per_batch):
        batch = planned[start : start + settings.crops_per_batch]
        embeddings, input_sizes = _embed(predictor, batch, settings)
        for number, plan in enumerate(batch):
            crop = Crop(plan.box, plan.image.shape[:2], input_sizes[number])
            predictor.set_embedding(embeddings[number, None], crop.input_size, crop.size)
            yield _segment_crop(predictor, plan.points, crop, settings)
        predictor.reset_image()


def _embed(
    predictor: SamPredictor, batch: Sequence[PlannedCrop], settings: CropSettings
) -> tuple[Float[Tensor, "B C h w"], list[tuple[int, int]]]:
    """The embeddings of crops, and their sizes in the input frame."""
    model = predictor.model
    resized = [predictor.transform.apply_image(plan.pixels) for plan in batch]
    inputs = [
        model.preprocess(torch.from_numpy(image).to(predictor.device).permute(2, 0, 1).float())
        for image in resized
    ]
    with settings.model_precision(predictor.device):
        embeddings = model.image_encoder(torch.stack(inputs))
    return embeddings, [image.shape[:2] for image in resized]


def _segment_crop(
    predictor: SamPredictor,
    points: Float[np.ndarray, "P 2"],
    crop: Crop,
    settings: CropSettings,
) -> tuple[list[Candidate], Counter[str]]:
    counts = Counter(dict.fromkeys(FILTERS, 0))  # in order, also where nothing came so far
    frame = predictor.model.image_encoder.img_size
    candidates: list[Candidate] = []
    with settings.model_precision(predictor.device):  # once: autocast keeps weights until it ends
        for start in range(0, len(points), settings.points_per_batch):
            decoded = _decode(predictor, points[start : start + settings.points_per_batch])
            with torch.autocast(predictor.device.type, enabled=False):
                candidates += crop_candidates(decoded, crop, frame, settings.thresholds, counts)
    scores = torch.tensor([candidate.predicted_iou for candidate in candidates])
    candidates = after_box_nms(candidates, scores, settings.box_nms_thresh)
    counts["unique_in_crop"] += len(candidates)
    return [replace(found, mask=found.rle(crop.image_size)) for found in candidates], counts


def _decode(predictor: SamPredictor, points: Float[np.ndarray, "P 2"]) -> DecodedMasks:
    """Three masks for each point of the crop."""
    coords = predictor.transform.apply_coords(points, predictor.original_size)
    coords = torch.as_tensor(coords, device=predictor.device)[:, None]  # (P, 1, 2)
    labels = torch.ones(coords.shape[:2], dtype=torch.int, device=coords.device)
    low_res_logits, iou_pred = predictor.predict_low_res(coords, labels)
    points = points.repeat(iou_pred.shape[1], axis=0)
    return DecodedMasks(low_res_logits.flatten(0, 1).float(), iou_pred.flatten().float(), points)
