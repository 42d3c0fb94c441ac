"""Mean IoU after 1, 2, 3 and 5 clicks and with a box, in masks per second.

The peer is the loop that published evaluations write: the predictor and the network of
`segment_anything` asked one prompt at a time, its masks compared at full size, the next click from
two exact distance transforms of the whole frame (RITM's clicker). Both networks have the same
random weights: a small ViT at 256 pixels and SAM's own prompt encoder and decoder. Both work on the
same drawn scene of 768 pixels and encode it once. Ours also computes its floors.

Equal means that no IoU of a mask at one click or with a box differs by more than 0.01, and no mean
by more than 0.005: after one click that falls on another pixel, two sessions go their own ways.
"""

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from segment_anything import SamPredictor as OfficialPredictor
from segment_anything import modeling as official_modeling
from segment_anything.modeling import Sam as OfficialSam
from torch import nn

from sam_train.data.rle import decode_rle
from sam_train.data.sets.image_sets import SceneSet
from sam_train.evaluation.models.sam import SamSegmenter
from sam_train.evaluation.protocols.clicks import ClickProtocol
from sam_train.evaluation.sets.sampling import EvaluatedImage, evaluated_images
from sam_train.inference.predictor import SamPredictor
from sam_train.modeling.build import assemble
from sam_train.modeling.image_encoder import ImageEncoderViT
from sam_train.modeling.sam import Sam
from sam_train.modeling.weights import official_state_dict
from tools.benchmarks.comparison import Comparison

IMAGES, SIDE = 1, 768
INPUT, WIDTH, DIM = 256, 192, 256  # pixels, channels of the encoder and of the decoder
CLICKS = (1, 2, 3, 5)
COLUMNS = [*(f"iou_at_{count}" for count in CLICKS), "oracle_at_1", "iou_box"]
Mask = Bool[np.ndarray, "H W"]


def compare() -> list[Comparison]:
    """Ours beside the loop, on all masks of a scene."""
    sam, official = both_networks()
    images = list(evaluated_images(SceneSet("scenes", IMAGES, image_size=SIDE)))
    protocol = ClickProtocol(clicks=CLICKS, noisy_box=False, boundary=False, keep_masks=False)

    def ours() -> list[list[float]]:
        segmenter = SamSegmenter(SamPredictor(sam))
        rows = [row for image in images for row in protocol.evaluate(segmenter, image)]
        return [[row[name] for name in COLUMNS] for row in rows]

    def loop() -> list[list[float]]:
        return one_prompt_at_a_time(official, images)

    masks = sum(len(image.masks) for image in images)
    difference = np.array(ours()) - np.array(loop())
    first = [COLUMNS.index(name) for name in ("iou_at_1", "oracle_at_1", "iou_box")]
    equal = np.abs(difference[:, first]).max() < 0.01 and np.abs(difference.mean(0)).max() < 0.005
    peer = "segment_anything, one prompt at a time"
    return [Comparison("evaluation", peer, ours, loop, equal=bool(equal), n=masks, target=5.0)]


def both_networks() -> tuple[Sam, OfficialSam]:
    """Our network and the official one with the same random weights."""
    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        INPUT, WIDTH, depth=2, num_heads=3, global_attn_indexes=(1,), out_chans=DIM
    )
    sam = assemble(encoder, dim=DIM, depth=2, num_heads=8, mlp_dim=2048, dropout=0.0).eval()
    with torch.no_grad():
        for mlp in sam.mask_decoder.output_hypernetworks_mlps:  # steep masks, as trained ones
            mlp.layers[-1].weight *= 30
    official = OfficialSam(
        official_modeling.ImageEncoderViT(
            img_size=INPUT,
            embed_dim=WIDTH,
            depth=2,
            num_heads=3,
            global_attn_indexes=(1,),
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=14,
            out_chans=DIM,
        ),
        official_modeling.PromptEncoder(
            DIM, (INPUT // 16, INPUT // 16), (INPUT, INPUT), mask_in_chans=16
        ),
        official_modeling.MaskDecoder(
            transformer_dim=DIM,
            transformer=official_modeling.TwoWayTransformer(
                depth=2, embedding_dim=DIM, mlp_dim=2048, num_heads=8
            ),
        ),
    )
    official.load_state_dict(official_state_dict(sam))
    return sam, official.eval()


def one_prompt_at_a_time(sam: OfficialSam, images: Sequence[EvaluatedImage]) -> list[list[float]]:
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
