from collections.abc import Callable

import pytest
from lightning import Callback, Trainer
from torch.utils.data import DataLoader


@pytest.fixture
def fit(make_trainer: Callable[..., Trainer], make_module, make_batch) -> Callable[..., Trainer]:
    """Trains two steps with a callback; the module stays in training mode."""

    def run(callback: Callback) -> Trainer:
        trainer = make_trainer(max_steps=2, callbacks=[callback])
        module = make_module().train()
        trainer.fit(module, DataLoader([make_batch(2)] * 2, batch_size=None))
        assert module.training
        return trainer

    return run
