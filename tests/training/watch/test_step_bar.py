import logging
from collections.abc import Callable

import pytest
from lightning import Trainer
from torch.utils.data import DataLoader

from sam_train.data.stream.collate import Batch
from sam_train.training.sam_module import SamModule
from sam_train.training.watch.step_bar import StepBar

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's hints


def run(make_module: Callable, make_trainer: Callable, batch: Batch, bar: StepBar) -> Trainer:
    module: SamModule = make_module({"num_corrections": 0})
    trainer = make_trainer(max_steps=3, callbacks=[bar])
    trainer.fit(module.train(), DataLoader([batch] * 3, batch_size=None))
    return trainer


def test_a_log_gets_lines_with_the_step_and_its_losses(
    make_module, make_trainer, batch: Batch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        run(make_module, make_trainer, batch, StepBar(log_minutes=0.0))
    lines = [line for line in caplog.messages if line.startswith("step ")]
    assert len(lines) == 3
    assert lines[-1].startswith("step 3 of 3: loss ")
    assert "iou_at_1" in lines[-1]


def test_a_terminal_gets_a_bar_of_all_steps(
    make_module, make_trainer, batch: Batch, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    run(make_module, make_trainer, batch, StepBar())
    last = capsys.readouterr().err.split("\r")[-1]
    assert "3/3" in last and "loss" in last
