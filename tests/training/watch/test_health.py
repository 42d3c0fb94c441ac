import logging
from collections.abc import Callable
from functools import partial

import pytest
from lightning import Trainer

from sam_train.data.scenes import SceneSet
from sam_train.inference.automatic_mask_generator import SamAutomaticMaskGenerator
from sam_train.training.sam_module import SamModule
from sam_train.training.watch.health import AutomaticMasks, EmptyPredictionWarning

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's hints

MakeTrainer = Callable[..., Trainer]

SCENES = {"scenes": SceneSet("scenes", 3, seed=1, image_size=64)}
GENERATOR = partial(
    SamAutomaticMaskGenerator,
    points_per_side=2,
    pred_iou_thresh=-10.0,
    stability_score_thresh=0.0,
    output_mode="coco_rle",
)


def warnings_of(
    caplog: pytest.LogCaptureFixture,
    make_trainer: MakeTrainer,
    module: SamModule,
    shares: list[float],
) -> list[str]:
    """What is warned of when steps have these shares of empty predictions."""
    callback, trainer = EmptyPredictionWarning(max_share=0.5, window=3), make_trainer()
    for step, share in enumerate(shares):
        callback.on_train_batch_end(trainer, module, {"empty_share": share}, {}, step)
    return [record.message for record in caplog.records if record.levelno == logging.WARNING]


def test_most_predictions_being_empty_is_warned_of_once(caplog, make_trainer, make_module) -> None:
    (message,) = warnings_of(caplog, make_trainer, make_module(), [1.0] * 8)
    assert message.startswith("100% of the predicted masks of the last 3 steps are empty")


def test_a_short_or_a_small_share_of_empty_predictions_is_not_warned_of(
    caplog, make_trainer, make_module
) -> None:
    assert warnings_of(caplog, make_trainer, make_module(), [1.0, 1.0]) == []
    assert warnings_of(caplog, make_trainer, make_module(), [1.0, 0.0, 0.5, 1.0, 0.0]) == []


def test_fewer_automatic_masks_than_before_are_warned_of_once(
    fit: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    health = AutomaticMasks(image_sets=SCENES, every_n_steps=1, generator=GENERATOR, max_images=2)
    health.at_start = 1000.0
    logged = fit(health).logged_metrics
    warned = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert logged["val/automatic_masks"] >= 0
    assert (
        len([message for message in warned if "automatic masks an image at step 1" in message]) == 1
    )


def test_a_model_without_automatic_masks_is_told_to_have_none_to_lose(
    fit: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    never = partial(GENERATOR, pred_iou_thresh=10.0)
    fit(AutomaticMasks(image_sets=SCENES, every_n_steps=5, generator=never, max_images=1))
    assert "so none can be lost: lower pred_iou_thresh" in caplog.text


def test_the_number_before_the_first_step_is_remembered(fit: Callable) -> None:
    health = AutomaticMasks(image_sets=SCENES, every_n_steps=5, generator=GENERATOR, max_images=1)
    fit(health)
    assert health.at_start is not None
    other = AutomaticMasks(image_sets=SCENES, every_n_steps=5, generator=GENERATOR)
    other.load_state_dict(health.state_dict())
    assert other.at_start == health.at_start
