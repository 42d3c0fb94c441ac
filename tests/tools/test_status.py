"""The state of runs as their folders tell it, also of those that were killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sam_train.launching.job import JobRecord, write_record
from sam_train.run_journal import Waiting, journaled, read_attempts
from sam_train.run_progress import ProgressFile
from tools.run_status.queue import parse_jobs, queue_lines
from tools.run_status.runs import duration, find_runs
from tools.status import status

SLEEPER = """
import sys, time
from pathlib import Path
from sam_train.launching.job import JobRecord, write_record
from sam_train.run_journal import journaled
with journaled(Path(sys.argv[1]), program="train"):
    print("begun", flush=True)
    time.sleep(60)
"""


def told(folder: Path) -> str:
    return "\n".join(status([folder]))


def test_a_finished_and_a_failed_run_are_told_with_the_error(tmp_path: Path) -> None:
    with journaled(tmp_path / "good", program="train"):
        ProgressFile(tmp_path / "good", unit="steps").show(5, 5)
    with pytest.raises(ValueError), journaled(tmp_path / "bad", program="evaluate"):
        raise ValueError("the set is empty: name another")
    with pytest.raises(KeyError), journaled(tmp_path / "worse", program="train"):
        raise KeyError("lost")

    lines = told(tmp_path).splitlines()

    assert lines[0] == "2 failed, 1 finished"
    assert lines[2] == "  the set is empty: name another"
    assert "  KeyError: 'lost'" in lines
    assert lines[-1].startswith(f"finished {tmp_path / 'good'}: train, 5 of 5 steps (100%)")


def test_a_run_that_is_killed_is_told_as_such_and_its_next_start_counts(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLEEPER, str(tmp_path)]
    environment = os.environ | {"SLURM_JOB_ID": "12"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "begun\n"
        ProgressFile(tmp_path, unit="steps").show(3, 10)
        running = told(tmp_path)
        process.send_signal(signal.SIGKILL)

    assert running.startswith("running") and "3 of 10 steps (30%)" in running
    assert "in job 12" in running
    assert told(tmp_path).startswith("killed") and f"process {process.pid}" in told(tmp_path)
    with journaled(tmp_path, program="train"):
        assert [run.state for run in find_runs(tmp_path)] == ["running"]
    assert told(tmp_path).startswith("finished") and "2 starts" in told(tmp_path)


def test_a_stop_signal_and_a_torn_line_are_no_failure(tmp_path: Path) -> None:
    with pytest.raises(SystemExit), journaled(tmp_path, program="train"):
        raise SystemExit(128 + signal.SIGTERM)
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('\n{"started": 1')

    assert told(tmp_path).startswith("stopped") and "stopped by signal 15" in told(tmp_path)


def test_a_run_that_waits_for_people_has_not_failed(tmp_path: Path) -> None:
    with pytest.raises(Waiting), journaled(tmp_path, program="data-engine"):
        raise Waiting("02-assisted_manual waits for people: serve them")

    first, second = told(tmp_path).splitlines()[:2]

    assert first.startswith("waiting")
    assert second == "  02-assisted_manual waits for people: serve them"


def test_the_journal_and_the_packages_say_what_a_run_was_made_with(tmp_path: Path) -> None:
    with journaled(tmp_path, program="train", config_sha256="abc"):
        pass
    (attempt,) = read_attempts(tmp_path)

    assert attempt.begun["config_sha256"] == "abc"
    assert attempt.begun["cores"] >= 1 and len(attempt.begun["commit"] or 40 * "0") == 40
    assert "hydra-core==" in (tmp_path / "packages.txt").read_text()


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no run"):
        told(tmp_path)
    with pytest.raises(ValueError, match="there is no folder"):
        told(tmp_path / "gone")


def test_jobs_that_wait_are_told_with_their_reason() -> None:
    text = "7|train|PENDING|0:00|1:00:00|(Resources)|/home/me\n8_1|sweep|RUNNING|5:00|55:00|n1|/x\n"

    assert list(queue_lines(parse_jobs(text), [])) == [
        "waiting  job 7 train: Resources, from /home/me",
        "running  job 8_1 sweep: 5:00, 55:00 left",
    ]


def test_a_job_of_a_sweep_that_never_began_is_told(tmp_path: Path) -> None:
    write_record(tmp_path / "a", JobRecord((), "waiting"))
    write_record(tmp_path / "b", JobRecord((), "failed", "train: there is no dataset x"))

    assert told(tmp_path).splitlines() == [
        f"waiting  {tmp_path / 'a'}, a job of a sweep",
        f"failed   {tmp_path / 'b'}, a job of a sweep: train: there is no dataset x",
    ]


def test_a_duration_is_told_in_one_unit() -> None:
    assert [duration(s) for s in (45.0, 720.0, 12600.0, 2e5)] == [
        "45 s",
        "12 min",
        "3.5 h",
        "2.3 days",
    ]


@pytest.mark.parametrize(
    "line", ["123", "[]", '{"started": 1}', '{"ended": 2, "host": "", "pid": 0}']
)
def test_lines_of_a_journal_that_no_run_wrote_are_passed_over(tmp_path: Path, line: str) -> None:
    with journaled(tmp_path, program="train"):
        pass
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write(f"\n{line}\n")

    assert told(tmp_path).startswith("finished")


@pytest.mark.parametrize("content", ["", "[]", '{"epoch": 3}'])
def test_files_of_other_programs_with_our_names_are_none_of_ours(
    tmp_path: Path, content: str
) -> None:
    with journaled(tmp_path / "run", program="train"):
        pass
    for name in ("run/progress.json", "run/job.json", "job.json"):
        (tmp_path / name).write_text(content)

    assert told(tmp_path).startswith("finished")


def test_a_damaged_file_of_the_engine_leaves_the_rest_to_be_told(tmp_path: Path) -> None:
    with journaled(tmp_path, program="data-engine"):
        pass
    (tmp_path / "rounds" / "1").mkdir(parents=True)
    (tmp_path / "rounds" / "1" / "round.json").write_text("{}")

    lines = told(tmp_path).splitlines()
    assert lines[0].startswith("finished")
    assert "more cannot be told" in lines[1] and "dataset_version" in lines[1]
