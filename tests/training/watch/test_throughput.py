from collections.abc import Callable

import pytest
from lightning import Trainer
from torch.utils.data import DataLoader

from sam_train.training.watch.throughput import Throughput

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's hints


def test_speed_and_the_wait_for_data_are_logged(
    make_trainer: Callable[..., Trainer], make_module, make_batch
) -> None:
    trainer = make_trainer(max_steps=4, callbacks=[Throughput(every_n_steps=2)])
    trainer.fit(make_module(), DataLoader([make_batch(2, 3)] * 4, batch_size=None))
    logged = trainer.logged_metrics
    ratio = logged["speed/masks_per_s"] / logged["speed/images_per_s"]
    assert ratio == pytest.approx(2.5)
    assert 0 <= logged["speed/data_wait"] <= 1
    assert "speed/gpu_gib" not in logged
