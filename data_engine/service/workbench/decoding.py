"""The model's answer to a click: decoded from the cached embedding, previous logits fed back."""

import threading
from collections import OrderedDict

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from data_engine.annotation.click_session import STABILITY_OFFSET
from data_engine.people.drawing.actions import Action, Candidate
from data_engine.people.drawing.drawing import DrawnObject
from data_engine.service.workbench.embeddings import PreparedImage
from data_engine.service.workbench.once import Once
from sam_train.data.records import Prompt
from sam_train.data.rle import Rle, encode_window, sample_rle
from sam_train.evaluation.models.segmenter import ask
from sam_train.evaluation.protocols.replay import recorded_prompts

Answered = tuple[tuple[Candidate, ...], Float[Tensor, "M h w"]]
PREVIEWS = 32  # answers that are kept for whoever clicks there
SURE = 8.0  # logits of a mask that is given, as far from 0 as those of the model mostly are


class Decoder:
    """Answers prompts of many objects, and remembers the logits of the last few hundred.

    What is forgotten, or was answered before a restart, is decoded again from the prompts.
    """

    def __init__(self, *, remembered: int = 256) -> None:
        self._remembered = remembered
        self._logits: OrderedDict[tuple[str, int], Float[Tensor, "M h w"]] = OrderedDict()
        self._lock = threading.Lock()
        self._answers = Once[Answered](PREVIEWS)

    def answer(
        self, task: str, image: PreparedImage, drawn: DrawnObject, prompt: Action
    ) -> Answered:
        """Three masks for the first prompt of an object, one after more (as in training).

        `image` is the crop of the prompt. Beside the masks their low-resolution logits, to
        `remember` once the prompt is stored. Whoever clicks where a preview was asked for gets
        that answer, or waits for it, and nothing is decoded twice.
        """
        before = tuple((p.action.seq, p.chosen) for p in drawn.prompted)
        asked = (prompt.object, prompt.kind, prompt.coords, prompt.label, prompt.crop)
        return self._answers.get(
            (task, before, *asked), lambda: self._answer(task, image, drawn, prompt)
        )

    def _answer(
        self, task: str, image: PreparedImage, drawn: DrawnObject, prompt: Action
    ) -> Answered:
        logits, scores = self._decode(task, image, drawn, len(drawn.prompted), prompt)
        windows = image.segmenter.windows(logits, offset=STABILITY_OFFSET)
        left, top = image.corner
        candidates: list[Candidate] = [
            {
                "segmentation": encode_window(
                    window.pixels,
                    corner=(window.corner[0] + left, window.corner[1] + top),
                    size=image.size,
                ),
                "predicted_iou": round(score, 4),
                "stability_score": round(window.stability, 4),
            }
            for window, score in zip(windows, scores, strict=True)
        ]
        return tuple(candidates), logits

    def remember(self, task: str, prompt: Action, logits: Float[Tensor, "M h w"]) -> None:
        """Keeps the answer to a prompt that is stored, for the next one on its object."""
        with self._lock:
            self._logits[task, prompt.seq] = logits
            while len(self._logits) > self._remembered:
                self._logits.popitem(last=False)

    def _decode(
        self, task: str, image: PreparedImage, drawn: DrawnObject, count: int, prompt: Action
    ) -> tuple[Float[Tensor, "M h w"], list[float]]:
        """Low-resolution logits and predicted IoU, with the first `count` prompts and this one.

        The mask before goes back in if it was made on the same crop, and so does a given one;
        prompts elsewhere say nothing about the crop.
        """
        mask_inputs, earlier = None, drawn.prompted[:count]
        if earlier and earlier[-1].action.crop == image.crop:
            last = earlier[-1]
            logits = self._logits.get((task, last.action.seq))
            if logits is None:
                logits, _ = self._decode(task, image, drawn, count - 1, last.action)
            mask_inputs = logits[None, last.chosen, None]
        elif not earlier and drawn.given:
            mask_inputs = mask_as_logits(drawn.given["segmentation"], image)[None, None]
        session = [p.action for p in earlier if lies_inside(p.action, image)]
        answer = ask(
            image.segmenter,
            recorded_prompts([moved(a, image.corner) for a in [*session, prompt]], mask_inputs),
            multimask_output=not session and mask_inputs is None,
        )
        return answer.low_res_logits[0], answer.iou_pred[0].tolist()


def lies_inside(action: Action, image: PreparedImage) -> bool:
    """Whether a prompt is within what the image's embedding shows."""
    if image.crop is None:
        return True
    x0, y0, x1, y1 = image.crop
    x, y = action.coords[::2], action.coords[1::2]
    return min(x) >= x0 and min(y) >= y0 and max(x) <= x1 and max(y) <= y1


def moved(action: Action, corner: tuple[int, int]) -> Prompt:
    """The prompt in pixels of a crop that begins at the corner."""
    prompt = action.prompt()
    prompt["coords"] = [value - corner[i % 2] for i, value in enumerate(prompt["coords"])]
    return prompt


def mask_as_logits(mask: Rle, image: PreparedImage) -> Float[Tensor, "h w"]:
    """A mask that the model has not made, as the logits that are fed back to it."""
    predictor, (left, top) = image.predictor, image.corner
    height, width = predictor.original_size
    mask_size = predictor.model.mask_input_size
    scale = mask_size[0] / predictor.model.image_size
    rows, columns = (
        corner + ((np.arange(cells) + 0.5) * length / cells).astype(int)
        for corner, length, cells in zip(
            (top, left),
            (height, width),
            (max(1, round(side * scale)) for side in predictor.input_size),
            strict=True,
        )
    )
    logits = torch.full(mask_size, -SURE)
    inside = torch.from_numpy(sample_rle(mask, rows, columns))
    logits[: len(rows), : len(columns)][inside] = SURE
    return logits.to(predictor.device)
