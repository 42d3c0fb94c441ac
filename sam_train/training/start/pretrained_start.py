"""Starts the image encoder from that of another model, such as one that was pre-trained."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
        encoder = load_model(Path(self.source)).image_encoder.state_dict()
        difference = first_difference(sam.image_encoder.state_dict(), encoder)
        if difference:
            raise ValueError(
                f"{self.source} has another image encoder ({difference}): choose the model that "
                "was pre-trained"
            )
        sam.image_encoder.load_state_dict(encoder)
        logger.info(f"the image encoder is that of {self.source}")
        if self.decoder_start:
            self.decoder_start(sam)
