"""The model's answer to a click: decoded from the cached embedding, previous logits fed back."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from data_engine.annotation.click_session import STABILITY_OFFSET
from data_engine.people.actions import Action, Candidate
from data_engine.people.drawing import Prompted
from data_engine.service.embeddings import PreparedImage
from sam_train.data.rle import encode_window
from sam_train.evaluation.models.segmenter import ask
from sam_train.evaluation.protocols.replay import recorded_prompts


class Decoder:
    """Answers prompts of many objects, and remembers the logits of the last few hundred.

    What is forgotten, or was answered before a restart, is decoded again from the prompts.
    """

    def __init__(self, *, remembered: int = 256) -> None:
        self._remembered = remembered
        self._logits: OrderedDict[tuple[str, int], Float[Tensor, "M h w"]] = OrderedDict()
        self._lock = threading.Lock()

    def answer(
        self, image: PreparedImage, earlier: Sequence[Prompted], prompt: Action
    ) -> tuple[tuple[Candidate, ...], Float[Tensor, "M h w"]]:
        """Three masks for the first prompt of an object, one after more (as in training).

        Beside them their low-resolution logits, to `remember` once the prompt is stored.
        """
        logits, scores = self._decode(image, earlier, prompt)
        windows = image.segmenter.windows(logits, offset=STABILITY_OFFSET)
        candidates: list[Candidate] = [
            {
                "segmentation": encode_window(window.pixels, corner=window.corner, size=image.size),
                "predicted_iou": round(score, 4),
                "stability_score": round(window.stability, 4),
            }
            for window, score in zip(windows, scores, strict=True)
        ]
        return tuple(candidates), logits

    def remember(self, key: str, prompt: Action, logits: Float[Tensor, "M h w"]) -> None:
        """Keeps the answer to a prompt that is stored, for the next one on its object."""
        with self._lock:
            self._logits[key, prompt.seq] = logits
            while len(self._logits) > self._remembered:
                self._logits.popitem(last=False)

    def _decode(
        self, image: PreparedImage, earlier: Sequence[Prompted], prompt: Action
    ) -> tuple[Float[Tensor, "M h w"], list[float]]:
        """Low-resolution logits and predicted IoU, with all prompts so far at once."""
        mask_inputs = None
        if earlier:
            last = earlier[-1]
            logits = self._logits.get((image.key, last.action.seq))
            if logits is None:
                logits, _ = self._decode(image, earlier[:-1], last.action)
            mask_inputs = logits[None, last.chosen, None]
        session = [*(prompted.action.prompt() for prompted in earlier), prompt.prompt()]
        answer = ask(
            image.segmenter,
            recorded_prompts(session, mask_inputs),
            multimask_output=not earlier,
        )
        return answer.low_res_logits[0], answer.iou_pred[0].tolist()
