"""Every mask of a very large image, such as a satellite's, tile by tile and without seams."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sam_train.data.image_limits import check_size
from sam_train.inference.automatic.candidates import AutomaticMasks, Candidate, after_box_nms
from sam_train.inference.automatic.crop_segmentation import (
    CropSettings,
    PlannedCrop,
    segment_crops,
)
from sam_train.inference.automatic.stitching import stitch
from sam_train.inference.automatic_mask_generator import SamAutomaticMaskGenerator
from sam_train.inference.point_grid import tile_boxes
from sam_train.inference.predictor import check_image


class TiledMaskGenerator:
    """Asks about a grid of points in every tile, and joins the masks that the tiles cut.

    The tiles are seen at full resolution, so small objects stay visible; the first grid of the
    generator and its settings are used, its crops are not. An object wider than the overlap of
    the tiles is joined from its parts.
    """

    def __init__(
        self,
        generator: SamAutomaticMaskGenerator,
        *,
        tile_size: int = 1024,
        tile_overlap: int = 256,
    ) -> None:
        if not 0 < tile_overlap < tile_size:
            raise ValueError(
                f"tile_overlap={tile_overlap} must be above 0 and below tile_size={tile_size}."
            )
        self.generator = generator
        self.tile_size = tile_size
        self.tile_overlap = tile_overlap

    def generate(self, image: np.ndarray) -> list[dict[str, Any]]:
        """The records of `SamAutomaticMaskGenerator`; a joined mask has a point for each part."""
        (masks,) = self.segment([image])
        return masks.records(self.generator.output_mode)

    def segment(self, images: Sequence[np.ndarray]) -> list[AutomaticMasks]:
        """The masks of several images, with the counts of the filters.

        Images are (H, W, 3) uint8 RGB; a memory-mapped one is read tile by tile.
        """
        return [self._segment(image) for image in images]

    @torch.no_grad()
    def _segment(self, image: np.ndarray) -> AutomaticMasks:
        check_image(image)
        size = image.shape[:2]
        check_size(size[1], size[0])
        grid = self.generator.point_grids[0]
        planned = [
            PlannedCrop(image, box, grid)
            for box in tile_boxes(size, self.tile_size, self.tile_overlap)
        ]
        counts: Counter[str] = Counter()
        tiles: list[list[Candidate]] = []
        for found, found_counts in segment_crops(
            self.generator.predictor, planned, self._settings()
        ):
            tiles.append(found)
            counts.update(found_counts)

        candidates = stitch(tiles, size)
        counts["stitched"] = len(candidates)
        scores = torch.tensor([candidate.predicted_iou for candidate in candidates])
        candidates = after_box_nms(candidates, scores, self.generator.crop_nms_thresh)
        counts["unique"] = len(candidates)
        return self.generator.finish(candidates, size, counts)

    def _settings(self) -> CropSettings:
        """Those of the generator, but a mask that a tile cuts is kept to be completed."""
        settings = self.generator.crop_settings()
        return replace(settings, thresholds=replace(settings.thresholds, keep_cut=True))
