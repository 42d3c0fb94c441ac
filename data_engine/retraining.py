"""How the engine's model comes about: built once, then trained on all masks after each round."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from data_engine.rounds import RoundFolder
from sam_train.modeling.checkpoint import load_model
from sam_train.modeling.sam import Sam

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retraining:
    """Trains the model of each round, from the weights of the round before or anew.

    `train(sam, dataset_root=, version=, output_dir=, max_steps=, seed=, from_scratch=)` leaves
    `model.safetensors` in `output_dir` and goes on where it was interrupted.
    """

    build_model: Callable[[], Sam]
    train: Callable[..., None]
    continue_weights: bool = True  # of the round before
    from_scratch: bool = True  # the model that is built has random weights
    seed: int = 0

    def __call__(
        self,
        folder: RoundFolder,
        before: RoundFolder | None,
        *,
        number: int,
        max_steps: int,
        dataset_root: Path,
        version: int,
    ) -> None:
        """Trains on a version, unless the round has its weights; the first has none `before`."""
        if folder.weights.exists():
            return
        torch.manual_seed(self.seed)
        continued = before if self.continue_weights else None
        sam = self.build_model() if continued is None else model_of(continued)
        logger.info(f"{folder.name}: training {max_steps} steps")
        self.train(
            sam,
            dataset_root=dataset_root,
            version=version,
            output_dir=folder.weights.parent,
            max_steps=max_steps,
            seed=self.seed + number,
            from_scratch=continued is None and self.from_scratch,
        )


def model_of(folder: RoundFolder) -> Sam:
    """The model that a round left, on an accelerator where there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return load_model(folder.weights).to(device)
