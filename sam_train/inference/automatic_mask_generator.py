"""Every mask of an image from a grid of points: the fully automatic phase (SAM, App. B)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from sam_train.data.rle import Rle, decode_rle, encode_mask, rle_area, rle_runs
from sam_train.inference.mask_filters import (
    remove_small_regions,
    stability_score,
    suppress_duplicates,
    touches_crop_edge,
)
from sam_train.inference.point_grid import build_layer_grids, check_point_grids, layer_crops
from sam_train.inference.predictor import SamPredictor, check_image
from sam_train.interaction.sampling import mask_boxes

Box = tuple[int, int, int, int]  # XYXY
OUTPUT_MODES = ("binary_mask", "uncompressed_rle", "coco_rle")

# Logits that are enlarged at once (256 MB in fp32), so memory does not grow with the candidates.
MAX_LOGITS = 2**26


@dataclass(frozen=True)
class Candidate:
    """One mask in the frame of the original image. The box is inclusive, as SAM's are."""

    rle: Rle
    box: Box
    predicted_iou: float
    stability_score: float
    point: tuple[float, float]
    crop_box: Box


class SamAutomaticMaskGenerator:
    """A drop-in for `segment_anything.SamAutomaticMaskGenerator`: same arguments, same records."""

    def __init__(  # noqa: PLR0913  (the signature of the official class)
        self,
        model: nn.Module,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: list[np.ndarray] | None = None,
        min_mask_region_area: int = 0,
        output_mode: str = "binary_mask",
    ) -> None:
        if output_mode not in OUTPUT_MODES:
            raise ValueError(
                f"output_mode must be one of {', '.join(OUTPUT_MODES)}, not {output_mode!r}."
            )
        if points_per_batch < 1:
            raise ValueError(f"points_per_batch must be at least 1, not {points_per_batch}.")
        if (points_per_side is None) == (point_grids is None):
            raise ValueError("Give exactly one of points_per_side and point_grids.")
        if point_grids is None:
            point_grids = build_layer_grids(
                points_per_side, crop_n_layers, crop_n_points_downscale_factor
            )
        check_point_grids(point_grids, crop_n_layers)

        self.predictor = SamPredictor(model)
        self.point_grids = point_grids
        self.points_per_batch = points_per_batch
        self.pred_iou_thresh = pred_iou_thresh
        self.stability_score_thresh = stability_score_thresh
        self.stability_score_offset = stability_score_offset
        self.box_nms_thresh = box_nms_thresh
        self.crop_n_layers = crop_n_layers
        self.crop_nms_thresh = crop_nms_thresh
        self.crop_overlap_ratio = crop_overlap_ratio
        self.crop_n_points_downscale_factor = crop_n_points_downscale_factor
        self.min_mask_region_area = min_mask_region_area
        self.output_mode = output_mode

    @torch.no_grad()
    def generate(self, image: np.ndarray) -> list[dict[str, Any]]:
        """Segments everything in an (H, W, 3) uint8 RGB image.

        Each record holds `segmentation` (in `output_mode`), `area`, `bbox` and `crop_box` as
        XYWH, `predicted_iou`, `stability_score` and the `point_coords` that asked for the mask.
        """
        check_image(image)
        crops = layer_crops(image.shape[:2], self.crop_n_layers, self.crop_overlap_ratio)
        candidates = [
            candidate
            for layer, crop_box in crops
            for candidate in self._segment_crop(image, crop_box, self.point_grids[layer])
        ]
        if len(crops) > 1:
            smaller_first = 1 / torch.tensor([box_area(c.crop_box) for c in candidates])
            candidates = after_box_nms(candidates, smaller_first, self.crop_nms_thresh)
        if self.min_mask_region_area > 0:
            candidates = self._remove_small_regions(candidates)
        return [self._record(candidate) for candidate in candidates]

    def _segment_crop(
        self, image: UInt8[np.ndarray, "H W 3"], crop_box: Box, grid: Float[np.ndarray, "P 2"]
    ) -> list[Candidate]:
        """The best candidates of one crop, best first."""
        x0, y0, x1, y1 = crop_box
        self.predictor.set_image(image[y0:y1, x0:x1])
        points = grid * (x1 - x0, y1 - y0)
        candidates = [
            candidate
            for start in range(0, len(points), self.points_per_batch)
            for candidate in self._segment_points(
                points[start : start + self.points_per_batch], crop_box, image.shape[:2]
            )
        ]
        self.predictor.reset_image()
        scores = torch.tensor([candidate.predicted_iou for candidate in candidates])
        return after_box_nms(candidates, scores, self.box_nms_thresh)

    def _segment_points(
        self, points: Float[np.ndarray, "P 2"], crop_box: Box, original_size: tuple[int, int]
    ) -> Iterator[Candidate]:
        """The masks of points of the crop's frame that pass every filter on a single mask."""
        x0, y0, _, _ = crop_box
        mask_threshold = self.predictor.model.mask_threshold
        low_res_logits, iou_pred, points = self._confident_masks(points)

        step = self._masks_at_once()
        for chunk in (slice(i, i + step) for i in range(0, len(points), step)):
            mask_logits = self.predictor.upscale(low_res_logits[None, chunk])[0]  # (N, H, W)
            stability = stability_score(mask_logits, mask_threshold, self.stability_score_offset)
            masks = mask_logits > mask_threshold
            boxes = mask_boxes(masks).long() + torch.tensor([x0, y0, x0, y0], device=masks.device)

            keep = ~touches_crop_edge(boxes, crop_box, original_size)
            if self.stability_score_thresh > 0:
                keep &= stability >= self.stability_score_thresh
            for mask, box, iou, score, (x, y) in zip(
                masks[keep].cpu().numpy(),
                boxes[keep].tolist(),
                iou_pred[chunk][keep].tolist(),
                stability[keep].tolist(),
                points[chunk][keep.cpu().numpy()].tolist(),
                strict=True,
            ):
                rle = encode_mask(uncrop_mask(mask, crop_box, original_size))
                yield Candidate(rle, tuple(box), iou, score, (x + x0, y + y0), crop_box)

    def _confident_masks(
        self, points: Float[np.ndarray, "P 2"]
    ) -> tuple[Float[Tensor, "N h w"], Float[Tensor, " N"], Float[np.ndarray, "N 2"]]:
        """The low-resolution logits that pass the filter on the predicted IoU, and their points."""
        coords = self.predictor.transform.apply_coords(points, self.predictor.original_size)
        coords = torch.as_tensor(coords, device=self.predictor.device)[:, None]  # (P, 1, 2)
        labels = torch.ones(coords.shape[:2], dtype=torch.int, device=coords.device)
        low_res_logits, iou_pred = self.predictor.predict_low_res(coords, labels)

        points = points.repeat(iou_pred.shape[1], axis=0)
        low_res_logits, iou_pred = low_res_logits.flatten(0, 1), iou_pred.flatten()
        if self.pred_iou_thresh <= 0:
            return low_res_logits, iou_pred, points
        keep = iou_pred > self.pred_iou_thresh
        return low_res_logits[keep], iou_pred[keep], points[keep.cpu().numpy()]

    def _masks_at_once(self) -> int:
        """How many masks fit into `MAX_LOGITS`, in the input frame as well as at original size."""
        height, width = self.predictor.original_size
        side = self.predictor.model.image_encoder.img_size
        return max(1, MAX_LOGITS // max(height * width, side * side))

    def _remove_small_regions(self, candidates: list[Candidate]) -> list[Candidate]:
        """Cleans every mask; among new duplicates the masks that needed no cleaning stay."""
        cleaned, untouched = [], []
        for candidate in candidates:
            mask, found = remove_small_regions(decode_rle(candidate.rle), self.min_mask_region_area)
            if found:
                box = mask_boxes(torch.from_numpy(mask)[None])[0].long()
                candidate = replace(candidate, rle=encode_mask(mask), box=tuple(box.tolist()))
            cleaned.append(candidate)
            untouched.append(float(not found))
        nms_thresh = max(self.box_nms_thresh, self.crop_nms_thresh)
        return after_box_nms(cleaned, torch.tensor(untouched), nms_thresh)

    def _record(self, candidate: Candidate) -> dict[str, Any]:
        return {
            "segmentation": as_output(candidate.rle, self.output_mode),
            "area": rle_area(candidate.rle),
            "bbox": xywh(candidate.box),
            "predicted_iou": candidate.predicted_iou,
            "point_coords": [list(candidate.point)],
            "stability_score": candidate.stability_score,
            "crop_box": xywh(candidate.crop_box),
        }


def after_box_nms(
    candidates: list[Candidate], scores: Float[Tensor, " N"], iou_threshold: float
) -> list[Candidate]:
    """What box NMS leaves, best score first."""
    boxes = torch.tensor([c.box for c in candidates], dtype=torch.int64).reshape(-1, 4)
    return [candidates[i] for i in suppress_duplicates(boxes, scores, iou_threshold)]


def uncrop_mask(
    mask: Bool[np.ndarray, "h w"], crop_box: Box, original_size: tuple[int, int]
) -> Bool[np.ndarray, "H W"]:
    """Puts a crop's mask where it lies in the original image."""
    if mask.shape == original_size:
        return mask
    x0, y0, x1, y1 = crop_box
    full = np.zeros(original_size, dtype=bool)
    full[y0:y1, x0:x1] = mask
    return full


def as_output(rle: Rle, output_mode: str) -> Bool[np.ndarray, "H W"] | dict[str, Any] | Rle:
    if output_mode == "binary_mask":
        return decode_rle(rle)
    if output_mode == "uncompressed_rle":
        return {"size": rle["size"], "counts": rle_runs(rle).tolist()}
    return rle


def box_area(box: Box) -> int:
    x0, y0, x1, y1 = box
    return (x1 - x0) * (y1 - y0)


def xywh(box: Box) -> list[int]:
    x0, y0, x1, y1 = box
    return [x0, y0, x1 - x0, y1 - y0]
