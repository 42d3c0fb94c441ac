"""Jobs of a sweep on this machine: apart from each other, and started again alone."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sam_train.launching.crew import environment_of
from sam_train.launching.job import Job, read_record
from sam_train.launching.local import launch_here

MakeJob = Callable[[str, str], Job]
PRINT_PLACE = "import os; print(os.environ['MASTER_PORT'], os.getpid())"


def launch(jobs: list[Job], at_a_time: int = 2, restarts: int = 0) -> None:
    launch_here(jobs, folder=jobs[0].folder.parent, at_a_time=at_a_time, restarts=restarts)


def state(job: Job) -> tuple[str, str | None]:
    record = read_record(job.folder)
    assert record
    return record.state, record.reason


def test_each_job_has_a_process_and_a_port_of_its_own(job: MakeJob) -> None:
    jobs = [job(name, PRINT_PLACE) for name in "abc"]
    launch(jobs)

    places = [(each.folder / "output.log").read_text().split() for each in jobs]
    assert all(state(each) == ("finished", None) for each in jobs)
    assert len({port for port, _ in places}) == len({pid for _, pid in places}) == 3


def test_a_failed_job_does_not_stop_the_rest_and_runs_again_alone(
    job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs_file = f"import sys; open({str(tmp_path / 'mended')!r}) and print('whole')"
    jobs = [job("a", needs_file), job("b", "print('once')")]
    with pytest.raises(ValueError, match=r"1 of 2 jobs did not finish, first a \(FileNotFound"):
        launch(jobs, at_a_time=1)
    assert state(jobs[0])[0] == "failed" and state(jobs[1])[0] == "finished"

    (tmp_path / "mended").touch()
    launch(jobs)
    assert state(jobs[0])[0] == "finished"
    assert (jobs[1].folder / "output.log").read_text() == "once\n"


def test_a_killed_job_is_started_again(job: MakeJob, tmp_path: Path) -> None:
    killed_once = (
        "import os, pathlib; mark = pathlib.Path('{}'); new = not mark.exists(); mark.touch();"
        "new and os.kill(os.getpid(), 9)"
    ).format(tmp_path / "mark")
    killed = job("a", killed_once)
    with pytest.raises(ValueError, match="killed by SIGKILL"):
        launch([killed])
    (tmp_path / "mark").unlink()

    launch([killed], restarts=1)
    assert state(killed) == ("finished", None)


def test_nothing_outlives_a_job_whose_first_process_dies(job: MakeJob) -> None:
    fork_and_die = (
        "import os, time; pid = os.fork(); pid or time.sleep(60); print(pid); os._exit(3)"
    )
    failed = job("a", fork_and_die)
    with pytest.raises(ValueError, match="did not finish"):
        launch([failed])
    (child,) = (failed.folder / "output.log").read_text().split()
    assert not is_alive(int(child))


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]
    except FileNotFoundError:
        return False


SAVE = """
import signal, sys, time
def save(*_):
    print("saved", flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
print("started", flush=True)
time.sleep(60)
"""
LAUNCH = """
import sys
from pathlib import Path
from sam_train.launching.job import Job
from sam_train.launching.local import launch_here
folder = Path(sys.argv[1])
job = Job("a", folder / "a", (sys.executable, "-c", sys.argv[2]))
launch_here([job], folder=folder, at_a_time=1, restarts=0)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_jobs_save_when_the_sweep_is_stopped_or_killed(
    number: signal.Signals, tmp_path: Path
) -> None:
    sweep = subprocess.Popen([sys.executable, "-c", LAUNCH, tmp_path, SAVE])
    log = tmp_path / "a" / "output.log"
    wait_for(lambda: log.exists() and "started" in log.read_text())
    sweep.send_signal(number)

    assert sweep.wait() == (143 if number == signal.SIGTERM else -9)
    wait_for(lambda: "saved" in log.read_text())


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise TimeoutError


def test_gpus_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")

    def visible(slots: int) -> list[str]:
        found = [environment_of(slot, slots, "sweep") for slot in range(slots)]
        return [each["CUDA_VISIBLE_DEVICES"] for each in found]

    assert visible(2) == ["4,5", "6,7"]
    assert visible(5) == ["4", "5", "6", "7", "4"]


def test_ranks_of_torchrun_do_not_each_start_a_sweep(
    job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with pytest.raises(ValueError, match="give it without torchrun"):
        launch([job("a", "")])
