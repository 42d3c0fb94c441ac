"""Clicks on many objects of one image at once, until each mask is good."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from sam_train.inference.mask_filters import stability_score
from sam_train.inference.predictor import SamPredictor
from sam_train.interaction.sampling import error_centre, mask_centre
from sam_train.training.losses import mask_iou

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
    no more clicks. The first click asks for three masks, later ones for one; the logits of the
    most confident mask go back in with the next click. The predictor's image must be set.
    """
    gt = torch.from_numpy(gt_masks).to(predictor.device)
    coords = mask_centre(gt)[:, None]  # (N, P, 2)
    labels = torch.ones_like(coords[..., 0], dtype=torch.int64)
    mask_input = None
    outcomes: dict[int, Clicked] = {}
    active = torch.arange(len(gt), device=gt.device)  # the objects of the rows of all tensors
    for count in range(1, max_clicks + 1):
        low_res_logits, iou_pred = predictor.predict_low_res(
            point_coords=predictor.transform.apply_coords_torch(coords, predictor.original_size),
            point_labels=labels,
            mask_input=mask_input,
            multimask_output=count == 1,
        )
        best = (torch.arange(len(active), device=gt.device), iou_pred.argmax(1))
        iou_pred, mask_input = iou_pred[best], low_res_logits[best][:, None]
        logits = predictor.upscale(mask_input)[:, 0]
        masks = logits > predictor.model.mask_threshold
        iou = mask_iou(masks, gt)

        done = (iou >= target_iou) | (count == max_clicks)
        stability = stability_score(logits, predictor.model.mask_threshold, STABILITY_OFFSET)
        for row in done.nonzero()[:, 0].tolist():
            outcomes[int(active[row])] = Clicked(
                coords[row].cpu().numpy(),
                labels[row].cpu().numpy(),
                masks[row].cpu().numpy(),
                iou[row].item(),
                iou_pred[row].item(),
                stability[row].nan_to_num().item(),
            )
        if done.all():
            break

        # The next click of those that are not good yet.
        active, gt, mask_input = active[~done], gt[~done], mask_input[~done]
        next_coords, next_labels = error_centre(masks[~done], gt)
        coords = torch.cat([coords[~done], next_coords[:, None]], 1)
        labels = torch.cat([labels[~done], next_labels[:, None]], 1)
    return [outcomes[index] for index in range(len(outcomes))]
