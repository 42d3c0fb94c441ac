from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from sam_train.inference.automatic_mask_generator import SamAutomaticMaskGenerator
from sam_train.training.safety.checkpoints import Checkpoints
from sam_train.training.watch.health import AutomaticMasks, EmptyPredictionWarning
from sam_train.training.watch.pictures import PredictionPictures
from sam_train.training.watch.throughput import Throughput
from sam_train.training.watch.validation import ClickValidation

BUILDERS: dict[str, Callable[..., Any]] = {
    "callbacks.validation.every_n_steps": partial(ClickValidation, image_sets={}, every_n_steps=0),
    "callbacks.automatic_masks.every_n_steps": partial(
        AutomaticMasks, image_sets={}, every_n_steps=0, generator=SamAutomaticMaskGenerator
    ),
    "callbacks.pictures.every_n_steps": partial(PredictionPictures, 0),
    "callbacks.throughput.every_n_steps": partial(Throughput, every_n_steps=0),
    "callbacks.empty.window": partial(EmptyPredictionWarning, 0.5, 0),
    "checkpoints.every_n_steps": partial(Checkpoints, every_n_steps=0),
}


@pytest.mark.parametrize("key", BUILDERS)
def test_an_interval_of_no_step_is_refused_before_the_training(key: str) -> None:
    with pytest.raises(ValueError, match=f"{key} is 0; it must be at least 1"):
        BUILDERS[key]()
