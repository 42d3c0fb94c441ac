"""A student's image encoder learns its teacher's embeddings; nothing is prompted (MobileSAM)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sam_train.data.store.embeddings import EmbeddingCache
from sam_train.data.stream.collate import Batch
from sam_train.interaction.masks import inside_image, sizes_on_grid
from sam_train.modeling.checkpoint import weights_sha256
from sam_train.modeling.sam import Sam
from sam_train.training.distillation.teacher_embeddings import embedding_shape
from sam_train.training.optim import Optimization
from sam_train.training.rounds import RoundRules
from sam_train.training.step import StepModule


class EncoderDistillation(StepModule):
    """Takes over the teacher's prompt encoder and decoder, and learns to see as it does.

    "Decoupled": the decoder is the teacher's own, so nothing is prompted, and the teacher's
    encoder was asked before (`EmbeddingCache`). The taken parts are to be frozen
    (`adaptation.frozen`). Images must be shown whole, as the teacher saw them.
    """

    def __init__(
        self,
        sam: Sam,
        *,
        teacher: Sam,
        embeddings: EmbeddingCache,
        optimization: Optimization,
        seed: int = 0,
    ) -> None:
        super().__init__(sam, optimization=optimization, seed=seed)
        check_student(sam, teacher, embeddings)
        sam.prompt_encoder.load_state_dict(teacher.prompt_encoder.state_dict())
        sam.mask_decoder.load_state_dict(teacher.mask_decoder.state_dict())
        self.embeddings = embeddings
        self.rules = RoundRules()  # what `ClickValidation` decodes by

    def on_train_start(self) -> None:
        super().on_train_start()
        check_views(self.trainer.datamodule)  # type: ignore[attr-defined]

    def learn(self, batch: Batch, step: int) -> tuple[dict[str, float], dict[str, Any]]:
        embeddings = self.sam.encode(batch["images"], batch["input_sizes"])
        target = self.embeddings.of(batch["keys"]).to(self.device)
        losses = embedding_losses(embeddings, target, batch, image_size=self.sam.image_size)
        return {"train/loss": self.learn_mean(losses)}, {}


def embedding_losses(
    embeddings: Float[Tensor, "B C h w"],
    target: Float[Tensor, "B C h w"],
    batch: Batch,
    *,
    image_size: int,
) -> Float[Tensor, " B"]:
    """Mean squared errors over the cells of each image, without its padding (EdgeSAM, stage 1)."""
    h, w = target.shape[-2:]
    sizes = sizes_on_grid(batch["input_sizes"], image_size=image_size, side=h)
    inside = inside_image(sizes, (h, w))  # (B, h, w)
    error = (embeddings.float() - target.float()).square().mean(1)
    return (error * inside).sum((1, 2)) / inside.sum((1, 2))


def check_student(sam: Sam, teacher: Sam, embeddings: EmbeddingCache) -> None:
    """Raises ValueError unless the student can take the teacher's place before its decoder."""
    shape, card = embedding_shape(sam), embeddings.card
    if weights_sha256(teacher) != card["teacher_sha256"]:
        raise ValueError(
            f"the embeddings in {embeddings.folder} are of another teacher than "
            "fit.module.teacher: give the checkpoint that tools.embed was given"
        )
    if shape != embeddings.shape:
        raise ValueError(
            f"the student's embeddings have the shape {shape}, those in {embeddings.folder} "
            f"{embeddings.shape}: choose a model of the teacher's image_size and width"
        )
    if sam.image_size != card["image_size"]:
        raise ValueError(
            f"the teacher saw images of {card['image_size']} pixels in {embeddings.folder}, the "
            f"student sees {sam.image_size}: give model.image_size={card['image_size']}"
        )
    check_aspect(sam, embeddings)
    own, given = (torch.nn.ModuleList([m.prompt_encoder, m.mask_decoder]) for m in (sam, teacher))
    if {n: t.shape for n, t in own.state_dict().items()} != {
        n: t.shape for n, t in given.state_dict().items()
    }:
        raise ValueError(
            "the student's decoder is not built as the teacher's: choose a model that differs "
            "from it in the image encoder alone"
        )


def check_aspect(sam: Sam, embeddings: EmbeddingCache) -> None:
    """Raises ValueError unless teacher and student see images alike, padded or stretched."""
    if embeddings.card["keeps_aspect"] == sam.keeps_aspect:
        return
    seen, shown = ("stretched", "padded") if sam.keeps_aspect else ("padded", "stretched")
    raise ValueError(
        f"the teacher saw images {seen} to its frame in {embeddings.folder}, the student sees them "
        f"{shown}: run tools.embed again, into another folder and "
        f"{'without' if sam.keeps_aspect else 'with'} --stretch"
    )


def check_views(data: Any) -> None:
    """Raises ValueError where training shows other views than the teacher saw."""
    maker = data.make_example
    if maker.flip or maker.scale_range is not None or maker.color_jitter:
        raise ValueError(
            "the teacher saw every image whole and as it is: distil with data=shards, or with "
            "data.make_example.flip=false, scale_range=null and color_jitter=0"
        )
