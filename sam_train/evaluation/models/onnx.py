"""A decoder exported to ONNX, as an evaluated model; the image is encoded in torch.

The graph is that of segment_anything's `export_onnx_model.py`: one object at a time, a box as two
points of labels 2 and 3, a point of label -1 where there is none.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sam_train.evaluation.models.sam import SamSegmenter, in_input_frame, sam_segmenter
from sam_train.evaluation.models.segmenter import Answer, ImagePrompts
from sam_train.interaction.prompts import PADDING

INPUTS = {
    "image_embeddings",
    "point_coords",
    "point_labels",
    "mask_input",
    "has_mask_input",
    "orig_im_size",
}
OUTPUTS = ["iou_predictions", "low_res_masks"]
BOX_LABELS = (2, 3)  # upper left, lower right


class OnnxSegmenter:
    """A session of ONNX Runtime behind the encoder that `encoder` has."""

    def __init__(self, encoder: SamSegmenter, session: Any) -> None:
        self.encoder = encoder
        self.session = session
        names = {node.name for node in session.get_inputs()}
        if names != INPUTS:
            raise ValueError(
                f"the ONNX graph takes {', '.join(sorted(names))}, not {', '.join(sorted(INPUTS))};"
                " export the decoder with segment_anything's export_onnx_model.py, or, for one of "
                "tools.export, take segmenter=sam checkpoint=EXPORT/decoder.onnx"
            )

    def set_image(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
        self.encoder.set_image(image)

    def answer(self, prompts: ImagePrompts, *, multimask_output: bool) -> Answer:
        coords, labels = self._labelled_points(prompts)
        masks: list[Tensor | None] = [None] * len(prompts)
        if prompts.mask_inputs is not None:
            masks = list(prompts.mask_inputs)
        parts = [self._run(*part) for part in zip(coords, labels, masks, strict=True)]
        iou_pred, low_res_logits = (torch.cat(part) for part in zip(*parts, strict=True))
        if iou_pred.shape[1] > 1:  # the first token answers alone, the others are candidates
            chosen = slice(1, None) if multimask_output else slice(0, 1)
            iou_pred, low_res_logits = iou_pred[:, chosen], low_res_logits[:, chosen]
        return Answer(low_res_logits, iou_pred)

    def enlarge(self, low_res_logits: Float[Tensor, "N h w"]) -> Float[Tensor, "N H W"]:
        return self.encoder.enlarge(low_res_logits)

    def _labelled_points(
        self, prompts: ImagePrompts
    ) -> tuple[Float[Tensor, "N P 2"], Float[Tensor, "N P"]]:
        """Points, then the corners of the box, or a point that is none where there is no box."""
        coords, labels, boxes = in_input_frame(self.encoder.predictor, prompts)
        count = len(prompts)
        if boxes is None:
            corners, marks = torch.zeros(count, 1, 2), torch.full((count, 1), PADDING)
        else:
            corners, marks = boxes.reshape(count, 2, 2), torch.tensor([BOX_LABELS] * count)
        if coords is None or labels is None:
            return corners.cpu().float(), marks.float()
        points = torch.cat([coords.cpu(), corners.cpu()], 1).float()
        return points, torch.cat([labels.cpu(), marks], 1).float()

    def _run(self, coords: Tensor, labels: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The scores and the logits of one object."""
        predictor = self.encoder.predictor
        embedding: Any = predictor.features
        h, w = (4 * side for side in embedding.shape[2:])
        feeds = {
            "image_embeddings": embedding.cpu().numpy(),
            "point_coords": coords[None].numpy(),
            "point_labels": labels[None].numpy(),
            "mask_input": (torch.zeros(1, h, w) if mask is None else mask)[None].cpu().numpy(),
            "has_mask_input": np.array([mask is not None], np.float32),
            "orig_im_size": np.array(predictor.original_size, np.float32),
        }
        scores, logits = self.session.run(OUTPUTS, feeds)
        return torch.from_numpy(scores), torch.from_numpy(logits)


def onnx_segmenter(
    checkpoint: str | Path | None,
    decoder: str | Path | None,
    *,
    model: str | None = None,
    device: str | None = None,
) -> OnnxSegmenter:
    """The encoder of a checkpoint before the decoder in an ONNX file that was exported from it."""
    if decoder is None or not Path(decoder).is_file():
        raise FileNotFoundError(f"there is no ONNX file {decoder}; set segmenter.decoder=FILE")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(decoder), options)
    return OnnxSegmenter(sam_segmenter(checkpoint, model=model, device=device), session)
