"""Work in this process or in forked ones."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_engine.executors.local import LocalExecutor
from data_engine.executors.worker_process import do_alone


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_is_worked_on_once(workers: int) -> None:
    assert sorted(LocalExecutor(workers).run(lambda item: item**2, range(5))) == [0, 1, 4, 9, 16]


def test_several_workers_are_several_processes() -> None:
    (process, *_) = LocalExecutor(2).run(lambda _: os.getpid(), range(4))

    assert process != os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_reaches_the_caller(workers: int) -> None:
    def fail(item: int) -> int:
        raise ValueError(f"item {item} is bad")

    with pytest.raises(ValueError, match="is bad"):
        list(LocalExecutor(workers).run(fail, range(3)))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_code_is_not_tried_again(workers: int, tmp_path: Path) -> None:
    def fail(item: int) -> None:
        (tmp_path / f"{item}").touch(exist_ok=False)
        raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        list(LocalExecutor(workers).run(fail, range(20)))
    assert len(list(tmp_path.iterdir())) <= workers


@pytest.mark.parametrize("workers", [1, 2])
def test_what_may_pass_is_tried_again(workers: int, tmp_path: Path) -> None:
    def fail_once(item: int) -> int:
        try:
            (tmp_path / f"{item}").touch(exist_ok=False)
        except FileExistsError:
            return item
        raise RuntimeError("CUDA out of memory")

    assert sorted(LocalExecutor(workers).run(fail_once, range(3))) == [0, 1, 2]


def test_a_worker_may_have_a_process_of_its_own() -> None:
    def another(_: int) -> int:
        return do_alone(lambda _: os.getpid(), 0)

    processes = {os.getpid(), *LocalExecutor(2).run(another, range(3))}
    assert len(processes) == 4


def test_a_killed_worker_is_named_as_the_reason() -> None:
    with pytest.raises(OSError, match="a worker process was killed"):
        list(LocalExecutor(2).run(lambda _: os.kill(os.getpid(), 9), range(2)))


def test_no_worker_is_refused() -> None:
    with pytest.raises(ValueError, match="executor.workers is 0"):
        LocalExecutor(0)


def test_workers_end_with_a_killed_parent() -> None:
    script = """
import os, time
from data_engine.executors.local import LocalExecutor
def work(_):
    print(os.getpid(), flush=True)
    time.sleep(60)
list(LocalExecutor(2).run(work, range(2)))
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    parent.wait()
    assert parent.stdout.read() == ""  # at its end only when no worker holds it any more
    parent.stdout.close()
    assert not any(is_running(pid) for pid in workers)


def is_running(pid: int) -> bool:
    for _ in range(50):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.1)
    return True
