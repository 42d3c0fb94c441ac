"""torch.compile of encoder and decoder, and activation checkpointing of the encoder."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch._dynamo import maybe_mark_dynamic

from sam_train.interaction.prompts import Prompts
from sam_train.modeling.compiled import compile_blocks
from sam_train.modeling.sam import Sam

Decode = Callable[[Tensor, Prompts, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Acceleration:
    """What makes a model faster or smaller in training and leaves its results as they are.

    `checkpoint_encoder` computes the encoder's activations again in its backward: a third more
    time, a fraction of the memory. `backend` is torch.compile's.
    """

    compile_encoder: bool = False
    compile_decoder: bool = False
    checkpoint_encoder: bool = False
    backend: str = "inductor"

    def apply(self, sam: Sam) -> None:
        """Changes the model in place; names of weights stay."""
        encoder = sam.image_encoder
        if self.checkpoint_encoder:
            if not hasattr(encoder, "set_grad_checkpointing"):
                raise ValueError(
                    f"acceleration.checkpoint_encoder is on, but {type(encoder).__name__} cannot "
                    f"recompute its activations: switch it off, or choose model=vit_b, vit_l, vit_h"
                )
            encoder.set_grad_checkpointing(True)
        if self.compile_encoder:
            compile_blocks(encoder, self.backend)
        if self.compile_decoder:
            decode = bucketed(torch.compile(sam.decode, backend=self.backend))
            setattr(sam, "decode", decode)  # noqa: B010  (mypy takes methods for constant)


def bucketed(decode: Decode) -> Decode:
    """Decodes numbers of objects that are powers of two, and any number of points.

    So a run compiles one graph for each of these numbers, with and without mask prompts. (A model
    that draws its prompts as maps, `tiny`, has one more for each number of points.)
    """

    def decode_bucket(
        image_embeddings: Tensor, prompts: Prompts, image_index: Tensor
    ) -> tuple[Tensor, Tensor]:
        count = len(prompts)
        filled = torch.arange(bucket(count), device=image_index.device).clamp(max=count - 1)
        prompts = prompts[filled]
        for points in (prompts.point_coords, prompts.point_labels):
            maybe_mark_dynamic(points, 1)
        low_res_logits, iou_pred = decode(image_embeddings, prompts, image_index[filled])
        return low_res_logits[:count], iou_pred[:count]

    return decode_bucket


def bucket(count: int) -> int:
    """The next power of two."""
    return 1 << (count - 1).bit_length()
