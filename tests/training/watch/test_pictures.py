import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from lightning import Trainer
from torch.utils.data import DataLoader

from sam_train.data.stream.collate import Batch
from sam_train.training.sam_module import SamModule
from sam_train.training.watch.pictures import (
    GREEN,
    RED,
    EmptyPredictionWarning,
    PredictionPictures,
    draw_batch,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's hints

MakeTrainer = Callable[..., Trainer]


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


def test_pictures_are_written_every_so_many_steps(
    make_trainer, make_module, batch: Batch, tmp_path: Path
) -> None:
    pictures = PredictionPictures(2)
    trainer = make_trainer(default_root_dir=tmp_path, max_steps=4, callbacks=[pictures])
    trainer.fit(make_module(), DataLoader([batch] * 4, batch_size=None))
    files = sorted((tmp_path / "pictures").iterdir())
    assert [file.name for file in files] == ["step-0000002.jpg", "step-0000004.jpg"]
    assert cv2.imread(str(files[0])).shape == (64, 128, 3)


def test_the_truth_is_outlined_in_green_and_the_prediction_in_red(batch: Batch) -> None:
    batch["images"].zero_()
    batch["gt_masks"].zero_()[0, 2:6, 2:6] = True
    pred_masks = torch.zeros(2, 16, 16, dtype=torch.bool)
    pred_masks[1, 8:12, 8:12] = True
    picture = draw_batch(batch, pred_masks, max_images=8)
    for colour, (y, x) in ((GREEN, (8, 8)), (RED, (32, 64 + 32))):
        rows, columns = np.nonzero((picture == colour).all(-1))
        assert (rows.min(), columns.min()) == (y, x)
        assert (rows.max(), columns.max()) == (y + 15, x + 15)
        assert len(rows) == 4 * 15  # an outline of one pixel


def test_a_picture_shows_at_most_max_images(batch: Batch) -> None:
    assert draw_batch(batch, batch["gt_masks"], max_images=1).shape == (64, 64, 3)
