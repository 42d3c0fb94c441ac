import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning import Callback, Trainer

from sam_train.modeling.sam import Sam
from sam_train.training.safety.failures import check_launch, lost_another, one_failure

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's hints

Train = Callable[..., Sam]


class Failure(Callback):
    """Fails on one rank, in the middle of a run."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_train_batch_start(self, trainer: Trainer, *rest: Any) -> None:
        if trainer.global_step == 3 and trainer.global_rank == 1:
            raise self.error


class Death(Callback):
    """One rank is gone without a word."""

    def on_train_batch_start(self, trainer: Trainer, *rest: Any) -> None:
        if trainer.global_step == 3 and trainer.global_rank == 1:
            os._exit(9)


@pytest.mark.parametrize("error", [OSError("the disk is gone"), AttributeError("the disk is gone")])
def test_a_rank_that_fails_ends_the_run_with_its_sentence(
    train: Train, tmp_path: Path, error: BaseException
) -> None:
    with pytest.raises(ValueError, match="^rank 1 failed after step 3: .*the disk is gone$"):
        train(tmp_path, Failure(error), ranks=2)


def test_a_rank_that_dies_ends_the_run(train: Train, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="^a rank is gone or did not answer in time"):
        train(tmp_path, Death(), ranks=2)


def test_a_port_in_use_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_PORT", "29500")
    with pytest.raises(OSError, match=r"in use \(29500\): set MASTER_PORT"), one_failure(tmp_path):
        raise RuntimeError("The server socket has failed to listen (errno: 98, EADDRINUSE)")


def test_errors_of_the_program_keep_their_own_message(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes"), one_failure(tmp_path):
        raise RuntimeError("shapes differ")
    assert not lost_another(RuntimeError("shapes differ"))


def test_a_node_that_does_not_know_the_others_does_not_wait_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    trainer = Trainer(
        accelerator="cpu", devices=1, num_nodes=2, strategy="ddp", logger=False, barebones=True
    )
    with pytest.raises(ValueError, match="num_nodes is 2, but MASTER_ADDR, MASTER_PORT, NODE_RANK"):
        check_launch(trainer)
