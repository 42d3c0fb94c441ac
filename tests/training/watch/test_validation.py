from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader

from sam_train.data.scenes import SceneSet
from sam_train.interaction.prompts import Prompts
from sam_train.launching.metrics import read_metrics
from sam_train.training.watch.validation import (
    ClickValidation,
    images_of_rank,
    play_box,
    play_clicks,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's hints

SCENES = {"scenes": SceneSet("scenes", 3, seed=1, image_size=64)}


def test_iou_after_clicks_is_logged(fit: Callable) -> None:
    validation = ClickValidation(image_sets=SCENES, every_n_steps=2, max_masks=4, clicks=(1, 2))
    logged = fit(validation).logged_metrics
    for name in ("iou_at_1", "iou_at_2", "iou_with_box", "empty_at_1"):
        assert 0 <= logged[f"val/{name}"] <= 1
    assert logged["val/iou_error_at_1"] >= abs(logged["val/iou_overestimate_at_1"]) - 1e-6
    assert "val/iou_at_3" not in logged


def test_values_of_steps_that_the_trainer_does_not_log_are_in_the_file(
    make_trainer: Callable, make_module: Callable, make_batch: Callable, tmp_path: Path
) -> None:
    validation = ClickValidation(image_sets=SCENES, every_n_steps=2, max_masks=2, clicks=(1,))
    trainer = make_trainer(
        max_steps=3, callbacks=[validation], logger=CSVLogger(tmp_path, name="", version="")
    )
    trainer.log_every_n_steps = 10
    trainer.fit(make_module(), DataLoader([make_batch(2)] * 3, batch_size=None))

    assert [step for step, _ in read_metrics(tmp_path, ["val/iou_at_1"])["val/iou_at_1"]] == [1]


def test_ranks_share_the_images_and_get_equally_many() -> None:
    first, second = (list(images_of_rank(SCENES, 8, rank=rank, ranks=2)) for rank in range(2))
    seen = [image.key for image, weight in [*first, *second] if weight]
    assert sorted(seen) == sorted(image.key for image in SCENES["scenes"])
    assert [weight for _, weight in second] == [1.0, 0.0]


def test_what_is_predicted_in_the_padding_is_neither_counted_nor_clicked() -> None:
    inside = torch.zeros(1, 8, 8, dtype=torch.bool)
    inside[:, :4] = True
    gt_masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    gt_masks[:, :2, :2] = True
    seen: list[Prompts] = []

    def answer(prompts: Prompts) -> tuple[Tensor, Tensor]:
        seen.append(prompts)
        return torch.where(gt_masks | ~inside, 1.0, -1.0), torch.ones(1)

    clicked = play_clicks(answer, gt_masks, (1, 2), inside=inside, scale=4.0)
    boxed = play_box(answer, gt_masks, inside=inside, scale=4.0)

    assert clicked["iou_at_1"] == clicked["iou_at_2"] == boxed["iou_with_box"] == 1.0
    assert seen[1].point_labels.tolist() == [[1, -1, -1]]  # there is nothing to correct
