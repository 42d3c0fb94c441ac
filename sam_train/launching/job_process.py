"""A job in a process of its own, which ends with the one that started it."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

from sam_train.launching.job import (
    Job,
    JobRecord,
    State,
    read_record,
    reason_of,
    state_of,
    write_record,
)

PATIENCE_S = 120.0  # for a checkpoint to be written
SET_PARENT_DEATH_SIGNAL = 1  # prctl(2)


class JobProcess:
    """A running job: its output goes to `output.log` beside its `job.json`."""

    def __init__(self, job: Job, environment: Mapping[str, str], *, records: bool = True) -> None:
        self.job = job
        self._records = records  # one process of a job with several does
        self._attempts = attempts_of(job) + 1
        self._started = time.monotonic()
        self._stopped_for: tuple[State, str] | None = None
        job.folder.mkdir(parents=True, exist_ok=True)
        self._log = job.folder / "output.log"
        self._record("running", None)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                job.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # so that none of its processes outlives it
                preexec_fn=_end_with_parent,
            )

    def poll(self) -> JobRecord | None:
        """What became of the job, None while it runs."""
        status = self._process.poll()
        return None if status is None else self._close(status)

    def wait(self) -> JobRecord:
        return self._close(self._process.wait())

    def stop(self, state: State = "interrupted", reason: str = "the sweep was stopped") -> None:
        """Asks it to save and to end, once."""
        if self._stopped_for is None:
            self._stopped_for = (state, reason)
            self._process.send_signal(signal.SIGTERM)

    def wait_for_end(self) -> None:
        """Waits for its end and leaves its status to `wait`; a signal handler may do so as well."""
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)

    def forward(self, number: signal.Signals) -> None:
        """Passes a signal of the scheduler on; the job saves and says itself how it ended."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def end(self) -> JobRecord:
        """Waits for one that was asked to end, and kills it if that takes too long."""
        self.stop()
        try:
            return self._close(self._process.wait(PATIENCE_S))
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._close(self._process.wait())

    def _close(self, status: int) -> JobRecord:
        with suppress(ProcessLookupError):  # ranks and loaders that a killed process left
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._stopped_for is not None and status != 0:
            return self._record(*self._stopped_for)
        return self._record(state_of(status), reason_of(status, self._log))

    def _record(self, state: State, reason: str | None) -> JobRecord:
        seconds = time.monotonic() - self._started
        record = JobRecord(
            list(self.job.command),
            state,
            reason,
            attempts=self._attempts,
            seconds=round(seconds, 1),
        )
        if self._records:
            write_record(self.job.folder, record)
        return record


def attempts_of(job: Job) -> int:
    """How often this command was started before."""
    record = read_record(job.folder)
    same = record is not None and record.command == list(job.command)
    return record.attempts if same else 0


def _end_with_parent() -> None:
    """Has the system ask this process to stop when its parent dies, even by SIGKILL."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
