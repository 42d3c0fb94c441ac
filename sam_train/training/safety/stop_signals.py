"""Signals that ask a run to stop, remembered until a step is done."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.sharedctypes import RawValue
from types import FrameType

# Those of a scheduler, at the end of a job's time, and Ctrl-C.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopSignals:
    """Remembers the last stop signal, 0 for none; shared with the ranks that a run forks.

    A second Ctrl-C does not wait for the step.
    """

    def __init__(self) -> None:
        self._number = RawValue("i", 0)
        self._pressed = False  # Ctrl-C, which reaches every process of a terminal by itself
        self._pid = os.getpid()  # not that of ranks and loaders that are forked from here

    @property
    def received(self) -> int:
        return self._number.value

    @received.setter
    def received(self, number: int) -> None:
        self._number.value = number

    def catch(self) -> None:
        """Takes the signals over from whoever had them; a thread beside the main one cannot."""
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                signal.signal(number, self._remember)

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Takes the signals over for a while."""
        handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        self.catch()
        try:
            yield
        finally:
            if threading.current_thread() is threading.main_thread():
                for number, handler in handlers.items():
                    signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self._pressed:
                raise KeyboardInterrupt
            self._pressed = True
            if os.getpid() == self._pid:
                os.write(2, b"\nstops after this step and saves; Ctrl-C again: at once\n")
        self._number.value = number
