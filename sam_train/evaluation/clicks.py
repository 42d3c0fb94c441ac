"""Mean IoU after simulated clicks and with a box, through the predictor that users call."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sam_train.data.rle import decode_rle
from sam_train.data.sets.image_sets import ImageSet
from sam_train.data.store.shards import OnBad
from sam_train.evaluation.datasets import EvaluatedImage, evaluated_images
from sam_train.evaluation.floors import DISC_RADIUS, floor_ious
from sam_train.evaluation.metrics import Row
from sam_train.inference.predictor import SamPredictor
from sam_train.interaction.sampling import error_centre, mask_boxes, mask_centre
from sam_train.modeling.sam import Sam
from sam_train.training.losses import mask_iou

CLICKS = (1, 2, 3, 5, 9)  # SAM, sec. 7.1 and App. D.1
# Objects that are decoded together, and the pixels of their masks at original size: three
# candidates of float logits each, 200 MB.
PROMPTS_PER_BATCH, PIXELS_PER_BATCH = 64, 2**24


@dataclass(frozen=True)
class ClickRound:
    """The masks after one more click on every object, at original size."""

    point_coords: Float[Tensor, "N P 2"]  # all clicks so far, in pixels of the original image
    point_labels: Int[Tensor, "N P"]
    candidates: Bool[Tensor, "N M H W"]
    pred_masks: Bool[Tensor, "N H W"]  # the most confident candidate


def click_rounds(
    predictor: SamPredictor, gt_masks: Bool[Tensor, "N H W"], num_clicks: int
) -> Iterator[ClickRound]:
    """Clicks on every object's centre, then on the centre of its largest error (SAM, App. D.1).

    The image must be set. One click asks for three masks, more for one; the logits of the
    most confident mask go back in with the next click.
    """
    height, width = gt_masks.shape[1:]
    point_coords = mask_centre(gt_masks)[:, None]  # (N, 1, 2)
    point_labels = torch.ones_like(point_coords[..., 0], dtype=torch.int64)
    mask_input = None
    for count in range(1, num_clicks + 1):
        candidates, iou_pred, low_res_logits = predictor.predict_torch(
            point_coords=predictor.transform.apply_coords_torch(point_coords, (height, width)),
            point_labels=point_labels,
            mask_input=mask_input,
            multimask_output=count == 1,
        )
        pred_masks = _most_confident(candidates, iou_pred)
        mask_input = _most_confident(low_res_logits, iou_pred)[:, None]
        yield ClickRound(point_coords, point_labels, candidates, pred_masks)

        if count < num_clicks:
            coords, labels = error_centre(pred_masks, gt_masks)
            point_coords = torch.cat([point_coords, coords[:, None]], 1)
            point_labels = torch.cat([point_labels, labels[:, None]], 1)


@dataclass(frozen=True)
class ClickProtocol:
    """What is asked of every mask."""

    clicks: tuple[int, ...] = CLICKS
    box_multimask_output: bool = True  # a box is a single prompt: three masks (SAM, App. D.4)
    disc_radius: float = DISC_RADIUS  # of the floor, as a share of the longest side


def evaluate_clicks(
    sam: Sam,
    image_sets: Sequence[ImageSet],
    *,
    clicks: Sequence[int] = CLICKS,
    max_masks: int | None = None,
    max_masks_per_image: int | None = None,
    box_multimask_output: bool = True,
    disc_radius: float = DISC_RADIUS,
    on_bad: OnBad | None = None,
) -> list[Row]:
    """Plays the masks of every set, in eval mode, and returns a row per mask for `summarise`.

    A row holds the mask's `set, key, mask_id, area, image_area`; `iou_at_K` per entry of
    `clicks`; at one click `oracle_at_1` (best of the three) and `empty_at_1`; `iou_box`, the
    most confident mask for its box; and the floors `disc, box, ellipse`. `max_masks` is per
    set; an image that cannot be read goes to `on_bad(set, key, error)`, or ends the evaluation.
    """
    protocol = ClickProtocol(tuple(clicks), box_multimask_output, disc_radius)
    predictor = SamPredictor(sam.eval())
    rows: list[Row] = []
    for image_set in image_sets:
        for evaluated in evaluated_images(
            image_set, max_masks=max_masks, max_masks_per_image=max_masks_per_image, on_bad=on_bad
        ):
            for row in evaluate_image(predictor, evaluated, protocol):
                rows.append({"set": image_set.name, **row})
    return rows


def evaluate_image(
    predictor: SamPredictor, evaluated: EvaluatedImage, protocol: ClickProtocol
) -> Iterator[Row]:
    """Yields a row per mask. The image is encoded once, its masks are decoded in batches."""
    predictor.set_image(evaluated.image)
    image_area = evaluated.image.shape[0] * evaluated.image.shape[1]
    batch_size = max(1, min(PROMPTS_PER_BATCH, PIXELS_PER_BATCH // image_area))
    items = list(evaluated.masks.items())
    for start in range(0, len(items), batch_size):
        batch = items[start : start + batch_size]
        masks = np.stack([decode_rle(rle) for _, rle in batch])
        rows = _evaluate_batch(predictor, masks, protocol)
        for (mask_id, _), row in zip(batch, rows, strict=True):
            yield {"key": evaluated.key, "mask_id": mask_id, "image_area": image_area, **row}


def _evaluate_batch(
    predictor: SamPredictor, masks: Bool[np.ndarray, "N H W"], protocol: ClickProtocol
) -> Iterator[Row]:
    gt_masks = torch.from_numpy(masks).to(predictor.device)
    columns: dict[str, Tensor] = {"area": gt_masks.sum((1, 2))}
    centres = mask_centre(gt_masks)

    rounds = click_rounds(predictor, gt_masks, max(protocol.clicks))
    for count, played in enumerate(rounds, start=1):
        if count in protocol.clicks:
            columns[f"iou_at_{count}"] = mask_iou(played.pred_masks, gt_masks)
        if count == 1:
            every_truth = gt_masks[:, None].expand_as(played.candidates)
            columns["oracle_at_1"] = mask_iou(played.candidates, every_truth).amax(1)
            columns["empty_at_1"] = (~played.pred_masks.flatten(1).any(1)).float()
    columns["iou_box"] = mask_iou(_box_masks(predictor, gt_masks, protocol), gt_masks)

    numbers = [column.tolist() for column in columns.values()]
    per_mask = zip(*numbers, strict=True)
    for mask, (x, y), values in zip(masks, centres.tolist(), per_mask, strict=True):
        floors = floor_ious(mask, (x, y), disc_radius=protocol.disc_radius)
        yield dict(zip(columns, values, strict=True)) | floors


def _box_masks(
    predictor: SamPredictor, gt_masks: Bool[Tensor, "N H W"], protocol: ClickProtocol
) -> Bool[Tensor, "N H W"]:
    """The most confident mask for every object's bounding box."""
    height, width = gt_masks.shape[1:]
    boxes = predictor.transform.apply_boxes_torch(mask_boxes(gt_masks), (height, width))
    candidates, iou_pred, _ = predictor.predict_torch(
        point_coords=None,
        point_labels=None,
        boxes=boxes,
        multimask_output=protocol.box_multimask_output,
    )
    return _most_confident(candidates, iou_pred)


def _most_confident(candidates: Tensor, iou_pred: Float[Tensor, "N M"]) -> Tensor:
    """The candidate of each object with the highest predicted IoU; the first of equals."""
    return candidates[torch.arange(len(iou_pred), device=iou_pred.device), iou_pred.argmax(1)]
