import logging
from collections.abc import Callable
from functools import partial

import pytest
from lightning import Trainer
from torch.utils.data import DataLoader

from sam_train.data.sets.image_sets import SceneSet
from sam_train.inference.automatic_mask_generator import SamAutomaticMaskGenerator
from sam_train.training.sam_module import SamModule
from sam_train.training.watch.health import AutomaticMasks
from sam_train.training.watch.validation import ClickValidation, images_of_rank

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's hints

SCENES = {"scenes": SceneSet("scenes", 3, seed=1, image_size=64)}
GENERATOR = partial(
    SamAutomaticMaskGenerator,
    points_per_side=2,
    pred_iou_thresh=-10.0,
    stability_score_thresh=0.0,
    output_mode="coco_rle",
)


@pytest.fixture
def fit(make_trainer: Callable[..., Trainer], make_module, make_batch) -> Callable:
    """Trains two steps with a callback; the module stays in training mode."""

    def run(callback, module: SamModule | None = None) -> Trainer:
        trainer = make_trainer(max_steps=2, callbacks=[callback])
        module = (module or make_module()).train()
        trainer.fit(module, DataLoader([make_batch(2)] * 2, batch_size=None))
        assert module.training
        return trainer

    return run


def test_iou_after_clicks_is_logged(fit: Callable) -> None:
    validation = ClickValidation(image_sets=SCENES, every_n_steps=2, max_masks=4, clicks=(1, 2))
    logged = fit(validation).logged_metrics
    for name in ("iou_at_1", "iou_at_2", "iou_with_box", "empty_at_1"):
        assert 0 <= logged[f"val/{name}"] <= 1
    assert logged["val/iou_error_at_1"] >= abs(logged["val/iou_overestimate_at_1"]) - 1e-6
    assert "val/iou_at_3" not in logged


def test_ranks_share_the_images_and_get_equally_many() -> None:
    first, second = (list(images_of_rank(SCENES, 8, rank=rank, ranks=2)) for rank in range(2))
    seen = [image.key for image, weight in [*first, *second] if weight]
    assert sorted(seen) == sorted(image.key for image in SCENES["scenes"])
    assert [weight for _, weight in second] == [1.0, 0.0]


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
