from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sam_train.data.stream.collate import Batch
from sam_train.training.watch.pictures import GREEN, RED, PredictionPictures, draw_batch

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's hints


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
