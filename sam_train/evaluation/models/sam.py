"""SAM as an evaluated model: this project's, an official checkpoint, or the official package."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sam_train.evaluation.models.segmenter import Answer, ImagePrompts, MaskWindow
from sam_train.inference.automatic.enlarging import enlarged_axis
from sam_train.inference.automatic.outline_tiles import Levels, tiled_masks
from sam_train.inference.onnx_model import load_onnx
from sam_train.inference.predictor import SamPredictor
from sam_train.modeling.build import sam_model_registry
from sam_train.modeling.checkpoint import load_model
from sam_train.modeling.sam import Sam


class SamSegmenter:
    """This project's predictor."""

    def __init__(self, predictor: SamPredictor) -> None:
        self.predictor = predictor
        predictor.model.eval()

    def set_image(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
        self.predictor.set_image(image)

    @torch.inference_mode()
    def answer(self, prompts: ImagePrompts, *, multimask_output: bool) -> Answer:
        """Stops before the masks are enlarged: nobody looks at most of them."""
        low_res_logits, iou_pred = self.predictor.predict_low_res(
            *in_input_frame(self.predictor, prompts),
            mask_input=prompts.mask_inputs,
            multimask_output=multimask_output,
        )
        return Answer(low_res_logits.float(), iou_pred.float())

    @torch.inference_mode()
    def enlarge(self, low_res_logits: Float[Tensor, "N h w"]) -> Float[Tensor, "N H W"]:
        # Before enlarging, where there is less to subtract from; the result is the same.
        shifted = low_res_logits - self.predictor.model.mask_threshold
        return self.predictor.upscale(shifted[:, None])[:, 0]

    @torch.inference_mode()
    def windows(
        self, low_res_logits: Float[Tensor, "N h w"], *, offset: float
    ) -> Iterator[MaskWindow]:
        """Computes only the tiles that an outline passes through."""
        predictor = self.predictor
        axes = (
            enlarged_axis(*lengths, low_res_logits.device)
            for lengths in zip(
                low_res_logits.shape[1:],
                [predictor.model.image_size] * 2,
                predictor.input_size,
                predictor.original_size,
                strict=True,
            )
        )
        rows, columns = axes
        levels = Levels(predictor.model.mask_threshold, offset)
        for group, tiled in tiled_masks(low_res_logits, (rows, columns), levels):
            for number in range(group.stop - group.start):
                area = max(1, tiled.outer_area[number])
                stability = float(tiled.inner_area[number] / area)
                mask = tiled[number]
                yield MaskWindow(mask.corner, mask.window(), stability)


class OfficialSegmenter:
    """The predictor of the package `segment_anything`, and of packages that kept its class."""

    def __init__(self, predictor: Any) -> None:
        self.predictor = predictor
        predictor.model.eval()

    def set_image(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
        self.predictor.set_image(image)

    def answer(self, prompts: ImagePrompts, *, multimask_output: bool) -> Answer:
        _, iou_pred, low_res_logits = self.predictor.predict_torch(
            *in_input_frame(self.predictor, prompts),
            mask_input=prompts.mask_inputs,
            multimask_output=multimask_output,
            return_logits=True,
        )
        return Answer(low_res_logits.float(), iou_pred.float())

    @torch.inference_mode()
    def enlarge(self, low_res_logits: Float[Tensor, "N h w"]) -> Float[Tensor, "N H W"]:
        model, predictor = self.predictor.model, self.predictor
        logits = model.postprocess_masks(
            low_res_logits[:, None], predictor.input_size, predictor.original_size
        )
        return logits[:, 0] - model.mask_threshold


def in_input_frame(
    predictor: Any, prompts: ImagePrompts
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Points, labels and boxes as SAM's predictors take them, on their device."""
    device, size = predictor.device, predictor.original_size
    coords = labels = boxes = None
    if prompts.point_coords is not None:
        coords = predictor.transform.apply_coords_torch(prompts.point_coords, size).to(device)
        labels = prompts.point_labels.to(device)
    if prompts.boxes is not None:
        boxes = predictor.transform.apply_boxes_torch(prompts.boxes, size).to(device)
    return coords, labels, boxes


def sam_segmenter(
    checkpoint: str | Path | None, *, model: str | None = None, device: str | None = None
) -> SamSegmenter:
    """This project's predictor on a .safetensors, or on an official .pth of the named `model`."""
    return SamSegmenter(SamPredictor(load_sam(known_checkpoint(checkpoint, model), model, device)))


def official_segmenter(
    checkpoint: str | Path | None, *, model: str, device: str | None = None
) -> OfficialSegmenter:
    """The predictor and network of the package `segment_anything`, on an official .pth."""
    from segment_anything import SamPredictor as OfficialPredictor
    from segment_anything import sam_model_registry as official_registry

    network = official_registry[model](checkpoint=known_checkpoint(checkpoint, model))
    return OfficialSegmenter(OfficialPredictor(network.to(best_device(device))))


def load_sam(checkpoint: str | Path, model: str | None = None, device: str | None = None) -> Sam:
    """Loads a model of this project, an official .pth of the named `model`, or an export.

    Without `device` it goes where there is an accelerator; an export, which is named by its
    decoder.onnx, runs on the CPU.
    """
    path = known_checkpoint(checkpoint, model)
    if path.suffix == ".onnx":
        return load_onnx(path)
    if model is None:
        sam = load_model(path)
    elif model in sam_model_registry:
        sam = sam_model_registry[model](checkpoint=path)
    else:
        raise ValueError(f"there is no model {model!r}, only {', '.join(sam_model_registry)}")
    return sam.to(best_device(device))


def known_checkpoint(checkpoint: str | Path | None, model: str | None) -> Path:
    """The file to evaluate; says what is wrong with it before anything is loaded."""
    if checkpoint is None:
        raise ValueError("checkpoint is not given; add checkpoint=FILE")
    path = Path(checkpoint)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint file {path}; check checkpoint=PATH")
    if path.suffix not in (".safetensors", ".onnx") and model is None:
        raise ValueError(
            f"{path} does not say what it is; add model_type=vit_b, or another name of "
            "sam_model_registry"
        )
    return path


def best_device(device: str | None) -> str:
    """The device that is asked for, else an accelerator where there is one."""
    return device or ("cuda" if torch.cuda.is_available() else "cpu")
