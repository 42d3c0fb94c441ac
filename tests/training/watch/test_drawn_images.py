from collections.abc import Callable

import pytest
from lightning import LightningModule, Trainer
from torch import nn, optim
from torch.utils.data import DataLoader

from sam_train.training.watch.drawn_images import DrawnImages

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's hints

BATCH = {"phases": ["known", "known", "semi_automatic"], "sources": ["a", "b", "b"]}


class Idle(LightningModule):
    """Learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        return self.layer.weight.sum()

    def configure_optimizers(self):
        return optim.SGD(self.parameters(), lr=0.1)


def test_images_are_counted_by_phase_and_source(make_trainer: Callable[..., Trainer]):
    drawn = DrawnImages()
    trainer = make_trainer(max_steps=2, callbacks=[drawn])
    trainer.fit(Idle(), DataLoader([BATCH, BATCH], batch_size=None))
    counts = {
        "images/phase_known": 4, "images/phase_semi_automatic": 2,
        "images/source_a": 2, "images/source_b": 4,
    }  # fmt: skip
    assert drawn.state_dict() == counts
    assert {name: int(value) for name, value in trainer.logged_metrics.items()} == counts


def test_a_resumed_run_counts_on():
    drawn = DrawnImages()
    drawn.load_state_dict({"images/phase_known": 4})
    assert drawn.counts["images/phase_known"] == 4
    assert drawn.counts["images/phase_semi_automatic"] == 0
