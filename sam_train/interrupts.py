"""Ctrl-C reaches every process of a command at once; one of them is enough to answer it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ctrl_c_left_to_this_process() -> Iterator[None]:
    """Processes that are started within ignore Ctrl-C, of which each would print a traceback.

    Whoever starts them has to end them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
