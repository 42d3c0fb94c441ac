import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning import Callback, Trainer
from torch.multiprocessing.spawn import ProcessRaisedException

from sam_train.modeling.sam import Sam
from sam_train.training.safety.failures import check_launch, one_sentence_of_ranks

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


def test_a_rank_that_fails_ends_the_run_with_its_sentence(train: Train, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^rank 1 failed: the disk is gone$"):
        train(tmp_path, Failure(OSError("the disk is gone")), ranks=2)


def test_a_rank_that_dies_ends_the_run(train: Train, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="^a rank is gone or did not answer in time"):
        train(tmp_path, Death(), ranks=2)


def test_a_port_in_use_ends_the_run_in_one_sentence(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", str(port))
        with pytest.raises(OSError, match=rf"in use \({port}\): set MASTER_PORT to a free one"):
            train(tmp_path, ranks=2)


@pytest.mark.parametrize(
    ("last_line", "expected"),
    [
        ("OSError: no room", "^rank 1 failed: no room$"),
        ("sam_train.data.stream.pipeline.UselessData: no masks", "^rank 1 failed: no masks$"),
        ("RuntimeError: [gloo/pair.cc] Connection closed by peer", "^a rank is gone"),
    ],
)
def test_the_trace_of_a_forked_rank_becomes_a_sentence(last_line: str, expected: str) -> None:
    trace = f"-- Process 1 terminated:\nTraceback:\n  File a.py, line 3\n{last_line}\n"
    with pytest.raises((ValueError, OSError), match=expected), one_sentence_of_ranks():
        raise ProcessRaisedException(trace, 1, 4711)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("shapes differ"), ProcessRaisedException("a\nAttributeError: no x\n", 1, 4711)],
)
def test_errors_of_the_program_keep_their_trace(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, one_sentence_of_ranks():
        raise error
    assert raised.value is error


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
