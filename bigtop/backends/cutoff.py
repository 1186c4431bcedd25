# Application calls that are cut off: what happens to them when the time to finish is over.
#
# A call in an event loop is cancelled, one in a thread or a greenlet is ended by CutOff, which is raised
# wherever that stands. Then `finally` blocks run, generators are closed, and the
# worker goes on to its end: lifespan, exit handlers. All of that takes at most MARGIN, for which the
# supervisor waits.
#
# Rule: a thread that runs no Python, but waits in C code, cannot be interrupted. Only in the main thread does
# a signal end such a wait, if the C code allows that (sleep, select, locks and sockets of Python's own do).

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from bigtop.system.signals import CUT_SIGNAL

MARGIN: Final = 10.0  # seconds, past the time for open requests, until the worker has to be gone
_PASSING: Final = 0.05  # seconds in which a thread that has just left an application call does the rest
LAST_WORDS: Final = 2.0  # of these for calls that were cut off, and as many for the application's shutdown


class CutOff(BaseException):
    """Raised inside an application call. No Exception, so that applications do not catch it by mistake."""


def interrupt(thread_id: int) -> None:
    """Raise CutOff in a thread, as soon as that runs Python code."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), ctypes.py_object(CutOff))
    if thread_id == threading.main_thread().ident:
        wake_main()


def wake_main() -> None:
    """End the main thread's wait in C, as far as the C code allows that, and have it handle signals. That of
    this one has nothing to do for a call that is cut off."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, CUT_SIGNAL)


class Cutting:
    """Interrupts threads inside application calls, and there only.

    The exception comes a moment after it was asked for, when the call may be over. So whose call ends from
    the beginning on waits for its exception and takes that here, instead of anywhere in our code; whose call
    had ended before is given the time to be done with the rest.
    """

    def __init__(self) -> None:
        self.begun = False
        self._done = False

    def run(self, inside: Callable[[], Iterable[int]]) -> None:
        """Interrupt the threads that are `inside` of calls."""
        self.begun = True
        # A signal that another thread took from the kernel is handled by the main thread, which has to run
        # for that: now, and not in the moment in which the exception comes.
        wake_main()
        time.sleep(_PASSING)
        for thread in inside():
            interrupt(thread)
        self._done = True

    def await_exception(self) -> None:
        """Return when no exception is to come any more; for a thread that has left its call."""
        with suppress(CutOff):
            while not self._done:
                time.sleep(0.001)
