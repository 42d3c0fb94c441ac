import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, Trainer

from sam_train.modeling.sam import Sam
from sam_train.training.safety.checkpoints import Checkpoints
from sam_train.training.safety.sealed_files import (
    checkpoint_folder,
    newest_checkpoint,
    seal,
    sealed,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's hints

Train = Callable[..., Sam]


class Signal(Callback):
    """Sends a signal to this process, on one rank, when a step is done."""

    def __init__(self, number: int, *, step: int, rank: int = 0) -> None:
        self.number, self.step, self.rank = number, step, rank

    def on_train_batch_end(self, trainer: Trainer, *rest: Any) -> None:
        if trainer.global_step == self.step and trainer.global_rank == self.rank:
            os.kill(os.getpid(), self.number)


def assert_same_weights(a: Sam, b: Sam) -> None:
    torch.testing.assert_close(a.state_dict(), b.state_dict(), rtol=0, atol=0)


def steps_of(folder: Path) -> list[int]:
    return [int(path.name.split("-")[1]) for path in sealed(checkpoint_folder(folder))]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_run_that_a_signal_stops_goes_on_to_the_weights_of_one_that_did_not_stop(
    train: Train, tmp_path: Path, number: int, ranks: int
) -> None:
    whole = train(tmp_path / "whole", ranks=ranks)
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as stop:
        # The second rank alone is told; all stop at the same step.
        train(tmp_path / "cut", Signal(number, step=5, rank=ranks - 1), ranks=ranks)
    assert stop.value.code == 128 + number
    assert signal.getsignal(number) == before
    assert steps_of(tmp_path / "cut") == [5, 4]
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    assert_same_weights(train(tmp_path / "cut", ranks=ranks), whole)


def test_a_second_ctrl_c_does_not_wait_for_the_step(train: Train, tmp_path: Path) -> None:
    first, second = (Signal(signal.SIGINT, step=3) for _ in range(2))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, first, second)
    assert steps_of(tmp_path) == [2]
    assert_same_weights(train(tmp_path), train(tmp_path / "whole"))


def test_a_torn_checkpoint_is_told_and_the_one_before_is_used(
    train: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(SystemExit):
        train(tmp_path / "cut", Signal(signal.SIGTERM, step=5))
    newest, older = sealed(checkpoint_folder(tmp_path / "cut"))
    newest.write_bytes(newest.read_bytes()[:-100])
    assert newest_checkpoint(tmp_path / "cut") == older
    assert f"{newest} is damaged" in caplog.records[-1].message
    assert caplog.records[-1].levelno == logging.WARNING
    assert_same_weights(train(tmp_path / "cut"), whole)


def test_a_run_without_any_whole_checkpoint_does_not_begin_anew_in_silence(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    folder = checkpoint_folder(tmp_path)
    folder.mkdir()
    (folder / "checkpoint.partial").write_bytes(b"half")
    assert newest_checkpoint(tmp_path) is None
    seal(folder / "checkpoint.partial", step=3).write_bytes(b"torn")
    with pytest.raises(ValueError, match="no checkpoint in .* is whole: remove that folder"):
        newest_checkpoint(tmp_path)


def test_a_checkpoint_of_another_model_is_refused(train: Train, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        train(tmp_path, Signal(signal.SIGTERM, step=2))
    with pytest.raises(ValueError, match="of another model .* another output_dir"):
        train(tmp_path, dim=64)


def test_a_checkpoint_says_from_which_run_it_is(train: Train, tmp_path: Path) -> None:
    train(tmp_path, max_steps=2)
    content = torch.load(newest_checkpoint(tmp_path), weights_only=True)
    assert content["origin"] == {"config_sha256": "abc"}


def test_at_least_one_checkpoint_is_kept() -> None:
    with pytest.raises(ValueError, match="keep is 0"):
        Checkpoints(keep=0)
