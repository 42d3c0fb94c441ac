"""Clicks on many objects of one image at once, until each mask is good."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sam_train.inference.mask_filters import stability_score
from sam_train.inference.predictor import SamPredictor
from sam_train.interaction.masks import mask_iou
from sam_train.interaction.sampling import error_centre, mask_centre

STABILITY_OFFSET = 1.0  # logits; as in the fully automatic phase (SAM, App. B)


@dataclass(frozen=True)
class Clicked:
    """Where the clicks on one object led; coordinates are (x, y) of the original image."""

    coords: Float[np.ndarray, "P 2"]
    labels: Int[np.ndarray, " P"]
    mask: Bool[np.ndarray, "H W"]
    iou: float  # with the known mask
    predicted_iou: float
    stability_score: float


@dataclass(frozen=True)
class BestMasks:
    """The most confident mask of each object after a click."""

    logits: Float[Tensor, "N H W"]  # at original size
    low_res_logits: Float[Tensor, "N 1 h w"]  # to feed back
    iou_pred: Float[Tensor, " N"]

    def clicked(self, row: int, threshold: float) -> dict[str, Any]:
        """One object's mask with its scores."""
        logits = self.logits[row, None]
        return {
            "mask": (logits[0] > threshold).cpu().numpy(),
            "predicted_iou": self.iou_pred[row].item(),
            "stability_score": stability_score(logits, threshold, STABILITY_OFFSET)
            .nan_to_num()
            .item(),
        }


@torch.no_grad()
def click_until_good(
    predictor: SamPredictor,
    gt_masks: Bool[np.ndarray, "N H W"],
    *,
    target_iou: float,
    max_clicks: int,
) -> list[Clicked]:
    """Clicks on every object's centre, then on the centre of its largest error.

    Objects are independent, so they are decoded together; one that reaches `target_iou` gets
    no more clicks. The predictor's image must be set.
    """
    threshold = predictor.model.mask_threshold
    gt = torch.from_numpy(gt_masks).to(predictor.device)
    coords = mask_centre(gt)[:, None]  # (N, P, 2)
    labels = torch.ones_like(coords[..., 0], dtype=torch.int64)
    mask_input = None
    outcomes: dict[int, Clicked] = {}
    active = torch.arange(len(gt), device=gt.device)  # the objects of the rows of all tensors
    for count in range(1, max_clicks + 1):
        best_masks = most_confident(predictor, coords, labels, mask_input)
        masks = best_masks.logits > threshold
        iou = mask_iou(masks, gt)
        done = (iou >= target_iou) | (count == max_clicks)
        for row in done.nonzero()[:, 0].tolist():
            outcomes[int(active[row])] = Clicked(
                coords[row].cpu().numpy(),
                labels[row].cpu().numpy(),
                iou=iou[row].item(),
                **best_masks.clicked(row, threshold),
            )
        if done.all():
            break

        # The next click of those that are not good yet.
        active, gt, mask_input = active[~done], gt[~done], best_masks.low_res_logits[~done]
        next_coords, next_labels = error_centre(masks[~done], gt)
        coords = torch.cat([coords[~done], next_coords[:, None]], 1)
        labels = torch.cat([labels[~done], next_labels[:, None]], 1)
    return [outcomes[index] for index in range(len(outcomes))]


def most_confident(
    predictor: SamPredictor,
    coords: Float[Tensor, "N P 2"],
    labels: Int[Tensor, "N P"],
    mask_input: Float[Tensor, "N 1 h w"] | None,
) -> BestMasks:
    """Asks for three masks after one click and for one after more; keeps the most confident.

    Clicks are (x, y) of the original image.
    """
    low_res_logits, iou_pred = predictor.predict_low_res(
        point_coords=predictor.transform.apply_coords_torch(coords, predictor.original_size),
        point_labels=labels,
        mask_input=mask_input,
        multimask_output=mask_input is None,
    )
    best = (torch.arange(len(iou_pred), device=iou_pred.device), iou_pred.argmax(1))
    kept = low_res_logits[best][:, None]
    return BestMasks(predictor.upscale(kept)[:, 0], kept, iou_pred[best])
