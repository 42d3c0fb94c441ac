"""Starts parts of a model from those of others: a pre-trained encoder, a teacher's decoder."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from sam_train.modeling.checkpoint import load_model
from sam_train.modeling.sam import Sam
from sam_train.modeling.weights.loading import first_difference

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PretrainedStart:
    """Takes the encoder of a file written by `save_model`; then teaches the decoder its clicks."""

    source: str
    decoder_start: Callable[[Sam], None] | None = None

    def __call__(self, sam: Sam) -> None:
        """Changes the model in place; raises ValueError if the encoders are not built alike."""
        take_over(self.source, sam, ["image_encoder"], instead="the model that was pre-trained")
        if self.decoder_start:
            self.decoder_start(sam)


@dataclass(frozen=True)
class DecoderStart:
    """Takes prompt encoder and decoder of a file written by `save_model`, such as a teacher's."""

    source: str

    def __call__(self, sam: Sam) -> None:
        """Changes the model in place; raises ValueError if the decoders are not built alike."""
        parts = ["prompt_encoder", "mask_decoder"]
        take_over(self.source, sam, parts, instead="a model that differs in the image encoder")


def take_over(source: str, sam: Sam, parts: list[str], *, instead: str) -> None:
    """Gives a model parts of another, all or none; ValueError if these are not built alike."""
    own, other = (
        nn.ModuleDict({part: getattr(model, part) for part in parts})
        for model in (sam, load_model(Path(source)))
    )
    if difference := first_difference(own.state_dict(), other.state_dict()):
        raise ValueError(f"{source} is built otherwise ({difference}): choose {instead}")
    own.load_state_dict(other.state_dict())
    logger.info(f"{' and '.join(parts)} as in {source}")
