"""Mean IoU after 1, 2, 3 and 5 clicks and with a box, in masks per second.

The peer is the loop that published evaluations write: segment_anything's `SamPredictor` asked one
prompt at a time, its masks compared at full size, the next click from two exact distance
transforms of the whole frame (RITM's clicker). Both ask the same `tiny` network about the same
drawn scene of 768 pixels, which each encodes once. The network is asked for the time that it
takes; the logits are those of a half-trained one (the true masks, bent by noise), since random
weights would give noise all over the image. Ours also computes its floors.

Equal means that no IoU of any mask differs by more than 1e-6.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from segment_anything import SamPredictor as OfficialPredictor
from torch import Tensor, nn

from sam_train.data.rle import decode_rle, resize_rles
from sam_train.data.scenes import SceneSet
from sam_train.evaluation.models.sam import SamSegmenter
from sam_train.evaluation.protocols.clicks import ClickProtocol
from sam_train.evaluation.sets.sampling import EvaluatedImage, evaluated_images
from sam_train.inference.predictor import SamPredictor
from sam_train.interaction.sampling import mask_boxes, mask_centre
from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.sam import Sam
from tools.benchmarks.comparison import Comparison
from tools.benchmarks.drawing.half_trained import draw_logits

SIDE, CANDIDATES = 768, 3
CLICKS = (1, 2, 3, 5)
COLUMNS = [*(f"iou_at_{count}" for count in CLICKS), "oracle_at_1", "iou_box"]
Mask = Bool[np.ndarray, "H W"]


def compare() -> list[Comparison]:
    """Ours beside the loop, on all masks of a scene."""
    (image,) = evaluated_images(SceneSet("scenes", 1, image_size=SIDE))
    sam = half_trained_sam(image)
    protocol = ClickProtocol(clicks=CLICKS, noisy_box=False, boundary=False, keep_masks=False)

    def ours() -> list[list[float]]:
        rows = protocol.evaluate(SamSegmenter(SamPredictor(sam)), image)
        return [[row[name] for name in COLUMNS] for row in rows]

    def loop() -> list[list[float]]:
        return one_prompt_at_a_time(sam, image)

    equal = bool(np.abs(np.array(ours()) - np.array(loop())).max() < 1e-6)
    peer = "segment_anything's predictor, one prompt at a time"
    count = len(image.masks)
    return [Comparison("evaluation", peer, ours, loop, equal=equal, n=count, target=5.0)]


def half_trained_sam(image: EvaluatedImage) -> Sam:
    """A tiny model that takes its time, then answers with bent versions of the true masks."""
    torch.manual_seed(0)
    sam = build_sam_tiny().eval()
    heard = HeardPrompts(sam.prompt_encoder)
    sam.image_encoder.register_forward_hook(lambda _, __, output: heard.remember(output))
    sam.prompt_encoder = heard
    sam.mask_decoder = BentMasks(sam.mask_decoder, heard, image, sam.image_size)
    return sam


class HeardPrompts(nn.Module):
    """A prompt encoder that keeps the first point of each prompt, or the middle of its box.

    The official predictor does not hand on the embedding that the network compares prompts with.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.places = self.embedding = torch.zeros(0, 2)

    def remember(self, embedding: Tensor) -> None:
        self.embedding = embedding

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
        **_: Any,
    ) -> tuple[Tensor, Tensor]:
        middle = None if boxes is None else boxes.reshape(-1, 2, 2).mean(1)
        self.places = points[0][:, 0] if middle is None else middle
        return self.network(points, boxes, masks, image_embeddings=self.embedding)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the network's."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.network, name)


class BentMasks(nn.Module):
    """A decoder that answers with the bent mask of the object that the prompt is nearest to."""

    def __init__(
        self, network: nn.Module, heard: HeardPrompts, image: EvaluatedImage, frame: int
    ) -> None:
        super().__init__()
        self.network, self.heard = network, [heard]  # in a list: it is no part of the decoder
        rles = list(image.masks.values())
        masks = torch.from_numpy(np.stack([decode_rle(rle) for rle in rles]))
        middles = mask_boxes(masks).reshape(-1, 2, 2).mean(1)
        self.places = torch.cat([mask_centre(masks), middles]) * (frame / SIDE)
        side = frame // 4
        low_res = torch.from_numpy(resize_rles(rles, (side, side)))
        self.logits = draw_logits(low_res, CANDIDATES)  # (N, M, h, w)

    def forward(self, *, multimask_output: bool, **inputs: Any) -> tuple[Tensor, Tensor]:
        logits, scores = self.network(multimask_output=multimask_output, **inputs)
        nearest = torch.cdist(self.heard[0].places, self.places).argmin(1)
        answer = self.logits[nearest % len(self.logits), : logits.shape[1]]
        return answer, torch.linspace(0.9, 0.7, CANDIDATES)[: logits.shape[1]].expand_as(scores)


def one_prompt_at_a_time(sam: Sam, image: EvaluatedImage) -> list[list[float]]:
    """The columns of every mask by the official predictor."""
    predictor = OfficialPredictor(sam)
    predictor.set_image(image.image)
    truths = [decode_rle(rle) for rle in image.masks.values()]
    return [[*clicked(predictor, truth), boxed(predictor, truth)] for truth in truths]


def clicked(predictor: OfficialPredictor, truth: Mask) -> list[float]:
    """IoU after each number of clicks, then the best of three at the first."""
    coords: list[Sequence[int]] = []
    labels: list[int] = []
    ious: dict[int, float] = {}
    mask, logits, oracle = np.zeros_like(truth), None, 0.0
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
