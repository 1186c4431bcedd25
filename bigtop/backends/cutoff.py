# Application calls that are ended: cut off when the worker's time to finish is over, or interrupted when they
# are past their time limit.
#
# A call in an event loop is cancelled, one in a thread or a greenlet is ended by CutOff, which is raised
# wherever that stands. Then `finally` blocks run, generators are closed, and the
# worker goes on to its end: lifespan, exit handlers. All of that takes at most MARGIN, for which the
# supervisor waits.
#
# Rule 1: a thread that runs no Python, but waits in C code, cannot be interrupted. Only in the main thread
# does a signal end such a wait, if the C code allows that (sleep, select, locks and sockets of Python's own
# do). Python looks for an exception from outside between two instructions of its own. One for a thread that
# waits comes when the wait is over; by then the next step against a request that hangs there was due.
# Rule 2: a worker lives on after an interruption. So its exception must come inside of the application call
# that it is for, or never: see Interruption.

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic_ns
from types import FrameType
from typing import Final

from bigtop.ipc.scoreboard import Word
from bigtop.system.signals import CUT_SIGNAL, INTERRUPT_SIGNAL

MARGIN: Final = 10.0  # seconds, past the time for open requests, until the worker has to be gone
_PASSING: Final = 0.05  # seconds in which a thread that has just left an application call does the rest
LAST_WORDS: Final = 2.0  # of these for calls that were cut off, and as many for the application's shutdown


class CutOff(BaseException):
    """Raised inside an application call. No Exception, so that applications do not catch it by mistake."""


class Overdue(BaseException):
    """Raised inside an application call that is past its time limit. No Exception, for the same reason."""


def is_overdue(error: BaseException | None) -> bool:
    """Whether an application failed because it was interrupted, however it wraps that: what it names as the
    cause may be another one (`raise X from Y` where an interruption is handled)."""
    seen: set[int] = set()
    looking = [error]
    while looking:
        one = looking.pop()
        if isinstance(one, Overdue):
            return True
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        looking += (one.__cause__, one.__context__)
        if isinstance(one, BaseExceptionGroup):
            looking += one.exceptions
    return False


def on_interrupt(late: Callable[[FrameType | None], None], words: memoryview) -> None:
    """Have `late` called by INTERRUPT_SIGNAL's handler, with the frame that this is at, where it may raise
    Overdue; and let the supervisor know that requests are interrupted. Main thread only."""
    signal.signal(INTERRUPT_SIGNAL, lambda _number, frame: late(frame))
    words[Word.INTERRUPTS] = 1


# What an exception in the middle could break for others than the call: servers and event loops.
_SERVING: Final = frozenset({"asyncio", "bigtop", "gevent", "greenlet", "selectors", "uvloop"})


def is_foreign(frame: FrameType | None) -> bool:
    """Whether a signal came while code ran that is neither ours nor the event loop's: a call that is in there
    is interrupted when it is out again, a second later."""
    return frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] not in _SERVING


def stands_still(words: memoryview, timeout_ns: int) -> bool:
    """Whether an event loop, by the words of its scoreboard, has not turned for longer than it may."""
    return timeout_ns > 0 and monotonic_ns() - int(words[Word.BEAT]) > timeout_ns


def interrupt(thread_id: int) -> None:
    """Raise CutOff in a thread, as soon as that runs Python code."""
    _send(thread_id, CutOff)
    if thread_id == threading.main_thread().ident:
        wake_main()


def wake_main() -> None:
    """End the main thread's wait in C, as far as the C code allows that, and have it handle signals. That of
    this one has nothing to do for a call that is cut off."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, CUT_SIGNAL)


class Interruption:
    """An Overdue for one application call in another thread.

    The exception comes a moment after it was asked for, when the call may be over, and the thread may be
    inside of the next one. So whoever sends says so first and then looks whether the call goes on; a thread
    that leaves its call says so first and then looks whether something was sent. One of the two sees the
    other: either nothing is sent, or the thread waits for it, and takes it back if it did not come.
    """

    __slots__ = ("came", "is_over")

    def __init__(self, *, is_over: bool = False) -> None:
        self.is_over = is_over  # nothing is sent any more
        self.came = False  # while the call went on

    def send(self, thread_id: int, is_inside: Callable[[], bool]) -> None:
        """Raise Overdue in a thread, if it is inside of the call. Not from that thread; the call knows of
        this object by now."""
        try:
            if is_inside():
                _send(thread_id, Overdue)
        finally:
            self.is_over = True
        if thread_id == threading.main_thread().ident and callable(signal.getsignal(INTERRUPT_SIGNAL)):
            signal.pthread_kill(thread_id, INTERRUPT_SIGNAL)  # ends its wait; the handler has nothing to do

    def settle(self) -> None:
        """Return when no exception is to come any more; in the thread, which has left its call."""
        with suppress(Overdue):  # it is too late to answer with that
            while not self.is_over:
                time.sleep(0.001)
            _send(threading.get_ident(), None)


class InterruptibleJob:
    """Something that a thread does and another one may interrupt."""

    def __init__(self) -> None:
        self._thread = 0  # while it is inside
        self._interruption: Interruption | None = None

    def run(self, do: Callable[[], object]) -> None:
        try:
            self._thread = threading.get_ident()
            if self._interruption is None:
                do()
        finally:  # in this order: see Interruption
            self._thread = 0
            if self._interruption is not None:
                self._interruption.settle()

    def interrupt(self) -> None:
        """Raise Overdue in it, if it goes on; once, from another thread."""
        self._interruption = Interruption()
        thread = self._thread  # behind that: see Interruption
        self._interruption.send(thread, lambda: bool(thread) and self._thread == thread)


def _send(thread_id: int, exception: type[BaseException] | None) -> None:
    """Raise `exception` in a thread, as soon as that runs Python code; None: not the one that was to be."""
    what = None if exception is None else ctypes.py_object(exception)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), what)


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
