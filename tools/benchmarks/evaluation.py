"""Mean IoU after 1, 2, 3 and 5 clicks and with a box, in masks per second.

The peer is the loop that published evaluations write: the official `SamPredictor` asked one
prompt at a time, its masks compared at full size, the next click from two exact distance
transforms of the whole frame (RITM's clicker). Both work on the same `tiny` network (random
weights, so errors are large and clicks many) and the same drawn scenes of 768 pixels; both encode
an image once.

Equal means that every IoU of every mask differs by less than 0.01: logits of a batch differ from
those of one prompt in the last digits, so a pixel may fall on the other side of 0.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from segment_anything import SamPredictor as OfficialPredictor

from sam_train.data.rle import decode_rle
from sam_train.data.sets.image_sets import SceneSet
from sam_train.evaluation.models.sam import SamSegmenter
from sam_train.evaluation.protocols.clicks import ClickProtocol
from sam_train.evaluation.sets.sampling import EvaluatedImage, evaluated_images
from sam_train.inference.predictor import SamPredictor
from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.sam import Sam
from tools.benchmarks.comparison import Comparison

IMAGES, SIDE = 1, 768
CLICKS = (1, 2, 3, 5)
COLUMNS = [*(f"iou_at_{count}" for count in CLICKS), "oracle_at_1", "iou_box"]
Mask = Bool[np.ndarray, "H W"]


def compare() -> list[Comparison]:
    """Ours beside the loop, on all masks of a few scenes."""
    torch.manual_seed(0)
    sam = build_sam_tiny().eval()
    images = list(evaluated_images(SceneSet("scenes", IMAGES, image_size=SIDE)))
    protocol = ClickProtocol(clicks=CLICKS, noisy_box=False, boundary=False, keep_masks=False)

    def ours() -> list[list[float]]:
        segmenter = SamSegmenter(SamPredictor(sam))
        rows = [row for image in images for row in protocol.evaluate(segmenter, image)]
        return [[row[name] for name in COLUMNS] for row in rows]

    def loop() -> list[list[float]]:
        return one_prompt_at_a_time(sam, images)

    masks = sum(len(image.masks) for image in images)
    equal = np.abs(np.array(ours()) - np.array(loop())).max() < 0.01
    peer = "segment_anything's predictor, one prompt at a time"
    return [Comparison("evaluation", peer, ours, loop, equal=bool(equal), n=masks, target=5.0)]


def one_prompt_at_a_time(sam: Sam, images: Sequence[EvaluatedImage]) -> list[list[float]]:
    """The columns of every mask by the official predictor."""
    predictor = OfficialPredictor(sam)
    found = []
    for image in images:
        predictor.set_image(image.image)
        for rle in image.masks.values():
            truth = decode_rle(rle)
            found.append([*clicked(predictor, truth), boxed(predictor, truth)])
    return found


def clicked(predictor: OfficialPredictor, truth: Mask) -> list[float]:
    """IoU after each number of clicks, then the best of three at the first."""
    coords, labels, logits, ious = [], [], None, {}
    mask, oracle = np.zeros_like(truth), 0.0
    for count in range(1, max(CLICKS) + 1):
        x, y, label = next_click(mask, truth)
        coords.append([x, y])
        labels.append(label)
        masks, scores, low_res_logits = predictor.predict(
            np.array(coords, np.float32),
            np.array(labels),
            mask_input=logits,
            multimask_output=count == 1,
        )
        if count == 1:
            oracle = max(iou(candidate, truth) for candidate in masks)
        best = int(scores.argmax())
        mask, logits = masks[best], low_res_logits[best][None]
        ious[count] = iou(mask, truth)
    return [*(ious[count] for count in CLICKS), oracle]


def boxed(predictor: OfficialPredictor, truth: Mask) -> float:
    """IoU of the most confident mask for the box."""
    rows, columns = np.nonzero(truth)
    box: Float[np.ndarray, " 4"] = np.array(
        [columns.min(), rows.min(), columns.max(), rows.max()], np.float64
    )
    masks, scores, _ = predictor.predict(box=box, multimask_output=True)
    return iou(masks[int(scores.argmax())], truth)


def next_click(mask: Mask, truth: Mask) -> tuple[int, int, int]:
    """The deepest pixel of the larger error."""
    depths = [
        cv2.distanceTransform(np.pad(region, 1).astype(np.uint8), cv2.DIST_L2, 0)[1:-1, 1:-1]
        for region in (mask & ~truth, truth & ~mask)
    ]
    label = int(depths[1].max() > depths[0].max())
    y, x = np.unravel_index(depths[label].argmax(), truth.shape)
    return int(x), int(y), label


def iou(mask: Mask, truth: Mask) -> float:
    """Intersection over union."""
    return float((mask & truth).sum() / (mask | truth).sum())
