"""Edges on BSDS500 without training for them: ODS, OIS, AP and R50.

Kirillov et al. 2023 (Segment Anything), sec. 7.2 and App. D.2. A 16 x 16 grid of points gives 768
masks, no score filters them, box NMS at 0.7 drops duplicates. The Sobel filter is run on each
mask's probabilities (the sigmoid of its logits); what does not lie on the mask's outer boundary
pixels is set to 0. The maps are joined by their maximum, stretched to [0, 1], and thinned by edge
NMS (here that of Structured Forests). Scores are those of BSDS500 (Arbelaez et al. 2011) at 99
thresholds; a pixel is right within 0.75 % of the diagonal. The thinned map is thresholded as it
is, without the benchmark's further thinning, and the pairing is the largest possible one.
The floor `edges_grey` takes the gradient of the smoothed grey values (sigma 2) and the same edge
NMS: .587 / .617 / .568 on the 200 test images, where Canny is published with .600 / .640 / .580.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from sam_train.evaluation.measures.boundaries.boundary_matching import BoundaryCounts, count_matches
from sam_train.evaluation.measures.boundaries.boundary_scores import boundary_scores, total_curves
from sam_train.evaluation.measures.boundaries.edge_maps import (
    grey_edges,
    normalised,
    outer_boundary,
    sobel_magnitude,
    thin_edges,
)
from sam_train.evaluation.measures.overlap import grown, mask_window
from sam_train.evaluation.measures.summary import Row
from sam_train.evaluation.models.segmenter import Segmenter, full_logits
from sam_train.evaluation.protocols.grid import GridMasks, grid_masks
from sam_train.evaluation.protocols.rounds import prompts_at_once
from sam_train.evaluation.sets.annotated_image import known_part
from sam_train.evaluation.sets.sampling import EvaluatedImage


@dataclass(frozen=True)
class EdgeProtocol:
    """How masks become edges. A row is an image."""

    name: str = "edges"
    points_per_side: int = 16
    nms_thresh: float = 0.7
    grey_sigma: float | None = None  # pixels; edges of the grey values instead of the model's

    @property
    def columns(self) -> list[str]:
        return ["ods", "ois", "ap", "r50"]

    def evaluate(self, segmenter: Segmenter, evaluated: EvaluatedImage) -> list[Row]:
        drawings = known_part(evaluated.labeled, "boundaries")
        if self.grey_sigma is None:
            edges, proposals = self._mask_edges(segmenter, evaluated)
        else:
            edges, proposals = grey_edges(evaluated.image, sigma=self.grey_sigma), 0
        counts = count_matches(edges, drawings)
        row = {"key": evaluated.key, "mask_id": 0, "proposals": proposals, "drawn": counts.drawn}
        by_threshold = ("found", "right", "predicted")
        return [row | {name: getattr(counts, name).tolist() for name in by_threshold}]

    def _mask_edges(
        self, segmenter: Segmenter, evaluated: EvaluatedImage
    ) -> tuple[Float[np.ndarray, "H W"], int]:
        """The edges of the model's masks, and how many masks."""
        segmenter.set_image(evaluated.image)
        masks = grid_masks(
            segmenter,
            evaluated.size,
            points_per_side=self.points_per_side,
            nms_thresh=self.nms_thresh,
        )
        return edge_map(segmenter, masks, evaluated.size), len(masks)

    def summarise(self, rows: Sequence[Row]) -> dict[str, Any]:
        counts = [counts_of_row(row) for row in rows]
        recall, precision = total_curves(counts)
        return {
            "images": len(rows),
            "masks": sum(row["proposals"] for row in rows),
            **boundary_scores(counts),
            "recall_curve": recall.tolist(),
            "precision_curve": precision.tolist(),
        }


def edge_map(
    segmenter: Segmenter, masks: GridMasks, size: tuple[int, int]
) -> Float[np.ndarray, "H W"]:
    """The thin edges of all masks together, 0 to 1."""
    strongest = np.zeros(size, np.float32)
    for batch in masks.low_res_logits.split(prompts_at_once(size)):
        logits = full_logits(segmenter, batch, size)
        probabilities = logits.sigmoid().cpu().numpy()
        for probability, mask in zip(probabilities, (logits > 0).cpu().numpy(), strict=True):
            around = grown(mask_window(mask), 2)  # the outer boundary, and what Sobel sees of it
            on_boundary = sobel_magnitude(probability[around]) * outer_boundary(mask[around])
            np.maximum(strongest[around], on_boundary, out=strongest[around])
    return thin_edges(normalised(strongest))


def counts_of_row(row: Row) -> BoundaryCounts:
    """The counts of one image as the measures take them."""
    found, right, predicted = (np.array(row[name]) for name in ("found", "right", "predicted"))
    return BoundaryCounts(found, row["drawn"], right, predicted)
