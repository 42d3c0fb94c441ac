"""SAM 2's image predictor, from its package, as an evaluated model."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sam_train.evaluation.models.sam import best_device
from sam_train.evaluation.models.segmenter import Answer, ImagePrompts


class Sam2Segmenter:
    """`sam2.sam2_image_predictor.SAM2ImagePredictor` behind the three methods."""

    def __init__(self, predictor: Any) -> None:
        self.predictor = predictor
        self.size = (0, 0)

    def set_image(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
        self.predictor.set_image(image)
        self.size = image.shape[:2]

    @torch.inference_mode()
    def answer(self, prompts: ImagePrompts, *, multimask_output: bool) -> Answer:
        """SAM 2 takes a box as two points; one object at a time goes through its own batch."""
        masks, coords, labels, boxes = self.predictor._prep_prompts(
            prompts.point_coords, prompts.point_labels, prompts.boxes, prompts.mask_inputs, True
        )
        _, iou_pred, low_res_logits = self.predictor._predict(
            coords, labels, boxes, masks, multimask_output, return_logits=True
        )
        return Answer(low_res_logits.float(), iou_pred.float())

    @torch.inference_mode()
    def enlarge(self, low_res_logits: Float[Tensor, "N h w"]) -> Float[Tensor, "N H W"]:
        predictor = self.predictor
        logits = predictor._transforms.postprocess_masks(low_res_logits[:, None], self.size)
        return logits[:, 0] - predictor.mask_threshold


def sam2_segmenter(
    config: str, checkpoint: str | None = None, *, device: str | None = None
) -> Sam2Segmenter:
    """A model of the package `sam2` by the name of its config, such as configs/sam2.1/..."""
    from sam2.build_sam import build_sam2
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    model = build_sam2(config, checkpoint, device=best_device(device))
    return Sam2Segmenter(SAM2ImagePredictor(model))
