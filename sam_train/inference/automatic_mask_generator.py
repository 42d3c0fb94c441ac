"""Every mask of an image from a grid of points: the fully automatic phase (SAM, App. B)."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from torch import nn

from sam_train.inference.automatic.candidates import (
    OUTPUT_MODES,
    AutomaticMasks,
    Candidate,
    after_box_nms,
    box_area,
)
from sam_train.inference.automatic.cleaning import cleaned_candidates
from sam_train.inference.automatic.crop_masks import MaskThresholds
from sam_train.inference.automatic.crop_segmentation import (
    CropSettings,
    PlannedCrop,
    segment_crops,
)
from sam_train.inference.automatic.outline_tiles import Levels
from sam_train.inference.automatic.rules import MaskRules, best_masks, without_same_masks
from sam_train.inference.point_grid import chosen_grids, layer_crops
from sam_train.inference.predictor import SamPredictor, check_image
from sam_train.modeling.compiled import compile_blocks

DEFAULT_RULES = MaskRules()
FROM_0 = ("stability_score_offset", "crop_n_layers", "min_mask_region_area")
FROM_1 = ("points_per_batch", "crops_per_batch", "crop_n_points_downscale_factor")
THRESHOLDS = (
    "pred_iou_thresh",
    "stability_score_thresh",
    "stability_score_offset",
    "box_nms_thresh",
    "crop_nms_thresh",
)


class SamAutomaticMaskGenerator:
    """A drop-in for `segment_anything.SamAutomaticMaskGenerator`: same arguments, same records.

    On a CPU the masks are the same to the last pixel. On a GPU a pixel may differ whose logit is
    within rounding of a threshold.
    """

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
        *,
        rules: MaskRules = DEFAULT_RULES,
        crops_per_batch: int = 1,
        bf16: bool = False,
        compiled: bool = False,
    ) -> None:
        """Beyond the official arguments: `crops_per_batch` crops are encoded at once; `bf16` runs
        the model under autocast; `compiled` compiles encoder and decoder of the model itself, for
        all who use it, which takes a minute at the first image. Logits then differ by rounding, in
        bf16 from the third digit on.
        """
        self.predictor = SamPredictor(model)
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
        self.rules = rules
        self.crops_per_batch = crops_per_batch
        self.bf16 = bf16
        self._check_settings()
        self.point_grids = chosen_grids(
            points_per_side, point_grids, crop_n_layers, crop_n_points_downscale_factor
        )
        if compiled:
            compile_blocks(model.image_encoder)
            model.mask_decoder.compile()

    def _check_settings(self) -> None:
        if self.output_mode not in OUTPUT_MODES:
            modes = ", ".join(OUTPUT_MODES)
            raise ValueError(f"output_mode must be one of {modes}, not {self.output_mode!r}.")
        if not 0 <= self.crop_overlap_ratio < 1:
            raise ValueError(
                f"crop_overlap_ratio must be at least 0 and below 1, not {self.crop_overlap_ratio}."
            )
        given = vars(self)
        check_at_least(0, **{name: given[name] for name in FROM_0})
        check_at_least(1, **{name: given[name] for name in FROM_1})
        check_no_nan(**{name: given[name] for name in THRESHOLDS})

    def generate(self, image: np.ndarray) -> list[dict[str, Any]]:
        """Segments everything in an (H, W, 3) uint8 RGB image.

        Each record holds `segmentation` (in `output_mode`), `area`, `bbox` and `crop_box` as
        XYWH, `predicted_iou`, `stability_score` and the `point_coords` that asked for the mask.
        """
        (masks,) = self.segment([image])
        return masks.records(self.output_mode)

    @torch.no_grad()
    def segment(self, images: Sequence[np.ndarray]) -> list[AutomaticMasks]:
        """The masks of several images, with the counts of the filters; crops share batches."""
        for image in images:
            check_image(image)
        planned = [self._plan(image) for image in images]
        crops = segment_crops(self.predictor, list(chain(*planned)), self.crop_settings())
        results = []
        for image, plans in zip(images, planned, strict=True):
            counts: Counter[str] = Counter()
            candidates: list[Candidate] = []
            for found, found_counts in islice(crops, len(plans)):
                candidates += found
                counts.update(found_counts)
            if len(plans) > 1:
                smaller_first = 1 / torch.tensor([box_area(c.crop_box) for c in candidates])
                candidates = after_box_nms(candidates, smaller_first, self.crop_nms_thresh)
            counts["unique"] = len(candidates)
            results.append(self.finish(candidates, image.shape[:2], counts))
        return results

    def finish(
        self, candidates: list[Candidate], size: tuple[int, int], counts: Counter[str]
    ) -> AutomaticMasks:
        """Cleans the masks of an image of `size` (H, W) and chooses among them by the rules."""
        if self.min_mask_region_area > 0:
            candidates = cleaned_candidates(
                candidates,
                size,
                min_area=self.min_mask_region_area,
                drop_small=self.rules.drop_small_masks,
                nms_thresh=max(self.box_nms_thresh, self.crop_nms_thresh),
            )
        counts["cleaned"] = len(candidates)
        if self.rules.mask_nms_thresh < 1:
            candidates = without_same_masks(candidates, size, self.rules.mask_nms_thresh)
        counts["different"] = len(candidates)
        if self.rules.max_masks is not None:
            candidates = best_masks(candidates, self.rules.max_masks)
        counts["kept"] = len(candidates)
        return AutomaticMasks(size, candidates, counts)

    def crop_settings(self) -> CropSettings:
        """The settings that concern a crop by itself."""
        thresholds = MaskThresholds(
            pred_iou=self.pred_iou_thresh,
            stability=self.stability_score_thresh,
            levels=Levels(self.predictor.model.mask_threshold, self.stability_score_offset),
            max_area_share=self.rules.max_area_share,
        )
        return CropSettings(
            thresholds,
            box_nms_thresh=self.box_nms_thresh,
            points_per_batch=self.points_per_batch,
            crops_per_batch=self.crops_per_batch,
            bf16=self.bf16,
        )

    def _plan(self, image: np.ndarray) -> list[PlannedCrop]:
        crops = layer_crops(image.shape[:2], self.crop_n_layers, self.crop_overlap_ratio)
        return [PlannedCrop(image, box, self.point_grids[layer]) for layer, box in crops]


def check_at_least(lowest: int, **settings: int | float) -> None:
    for name, value in settings.items():
        if value < lowest:
            raise ValueError(f"{name} must be at least {lowest}, not {value}.")


def check_no_nan(**settings: float) -> None:
    for name, value in settings.items():
        if value != value:
            raise ValueError(f"{name} must be a number, not {value}: no mask would pass it.")
