"""Replay: the clicks and boxes that real annotators made, asked of another model.

The prompts are those recorded with each mask (`provenance.prompts` of a record), in their order
and with all of them at once from the first on, as an annotator's tool sends them; the logits of
the mask before go back in. The truth is the mask that the annotator accepted. `iou_at_k` is the
IoU after the first k prompts (a session that was shorter keeps its last), `iou_last` after all.
A session without a point or box, as of painted masks, is counted and not played.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sam_train.data.records import Prompt
from sam_train.data.rle import decode_rle
from sam_train.evaluation.measures.overlap import iou
from sam_train.evaluation.measures.summary import Row, counts_of, means
from sam_train.evaluation.models.segmenter import ImagePrompts, Segmenter, ask
from sam_train.evaluation.protocols.rounds import masks_at, stored
from sam_train.evaluation.sets.annotated_image import known_part
from sam_train.evaluation.sets.sampling import EvaluatedImage


@dataclass(frozen=True)
class ReplayProtocol:
    """After how many prompts the masks are compared."""

    name: str = "replay"
    clicks: Sequence[int] = (1, 2, 3, 5, 9)
    keep_masks: bool = True

    @property
    def columns(self) -> list[str]:
        return [*(f"iou_after_{count}" for count in self.clicks), "iou_last", "prompts"]

    def evaluate(self, segmenter: Segmenter, evaluated: EvaluatedImage) -> list[Row]:
        sessions: list[list[Prompt]] = known_part(evaluated.labeled, "clicks")
        segmenter.set_image(evaluated.image)
        return [
            self._replay(segmenter, evaluated, id, sessions[id]) for id in sorted(evaluated.masks)
        ]

    def summarise(self, rows: Sequence[Row]) -> dict[str, Any]:
        played = [row for row in rows if row["prompts"]]
        return counts_of(played) | means(played, self.columns) | {
            "without_prompts": len(rows) - len(played)
        }  # fmt: skip

    def _replay(
        self, segmenter: Segmenter, evaluated: EvaluatedImage, id: int, session: Sequence[Prompt]
    ) -> Row:
        truth = decode_rle(evaluated.masks[id])
        session = [prompt for prompt in session if prompt["type"] in ("point", "box")]
        ious, mask_inputs, mask = [], None, np.zeros_like(truth)
        for count in range(1, len(session) + 1):
            prompts = recorded_prompts(session[:count], mask_inputs)
            best = ask(segmenter, prompts, multimask_output=count == 1).most_confident()
            mask_inputs = best[:, None]
            mask = masks_at(segmenter, best, evaluated.size, evaluated.ignored)[0]
            ious.append(iou(mask, truth))
        row = {
            "key": evaluated.key,
            "mask_id": id,
            "height": evaluated.size[0],
            "width": evaluated.size[1],
            "area": int(truth.sum()),
            "prompts": len(session),
            "clicks": [[*p["coords"], float(p["label"])] for p in session if p["type"] == "point"],
        }
        if ious:
            row |= {f"iou_after_{n}": ious[min(n, len(ious)) - 1] for n in self.clicks}
            row["iou_last"] = ious[-1]
        return row | ({"mask_last": stored(mask), "ious": ious} if self.keep_masks and ious else {})


def recorded_prompts(
    session: Sequence[Prompt], mask_inputs: torch.Tensor | None = None
) -> ImagePrompts:
    """The points of a session and its last box, for one object."""
    points = [prompt for prompt in session if prompt["type"] == "point"]
    boxes = [prompt["coords"] for prompt in session if prompt["type"] == "box"]
    coords = torch.tensor([[p["coords"] for p in points]], dtype=torch.float32)
    return ImagePrompts(
        point_coords=coords if points else None,
        point_labels=torch.tensor([[p["label"] for p in points]]) if points else None,
        boxes=torch.tensor(boxes[-1:], dtype=torch.float32) if boxes else None,
        mask_inputs=mask_inputs,
    )
