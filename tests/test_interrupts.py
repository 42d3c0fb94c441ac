import multiprocessing
import os
import signal

import pytest

from sam_train.interrupts import ctrl_c_left_to_this_process


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
