import multiprocessing
import os
import signal
from collections.abc import Iterator

import pytest

from sam_train.interrupts import ctrl_c_left_to_this_process


@pytest.fixture
def answers_ctrl_c() -> Iterator[None]:
    """Python's own answer; the shell may have started the tests in the background, without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("answers_ctrl_c")
def test_a_process_started_within_ignores_ctrl_c_and_this_one_does_not() -> None:
    with ctrl_c_left_to_this_process():
        worker = multiprocessing.get_context("spawn").Process(target=_interrupt_itself)
        worker.start()
    worker.join()

    assert worker.exitcode == 0
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def _interrupt_itself() -> None:
    os.kill(os.getpid(), signal.SIGINT)
