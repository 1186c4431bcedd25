# Reporter: tells, on a signal, what a worker does, in a thread that lives only while it tells.
#
# Rule: a worker that nobody asks pays nothing. What finds out and what writes is imported by that thread,
# when it is asked for. Whoever hears the signal first starts it: Python's handler in the main thread, or the
# thread that leads, which the C level wakes. Neither needs the other, so an event loop that stands still and
# a main thread that waits in C are no obstacle by themselves.
#
# Rule: the application may be inside anything, so names of what gevent replaces are bound before its import,
# and nothing here waits for a lock of Python's.

from __future__ import annotations

from _thread import get_ident, start_new_thread
from collections.abc import Callable
from time import monotonic, sleep

from bigtop.log import logger as get_logger
from bigtop.system.signals import PROFILE_SIGNAL, REPORT_SIGNAL

log = get_logger("bigtop.worker")

ASKED = (REPORT_SIGNAL, PROFILE_SIGNAL)
_AT_A_TIME = 1.5  # seconds of a profile for each signal, which comes every second while one is wanted


class Reporter:
    """Writes to the descriptor `fd`, which never makes it wait for long. Made in the main thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._main = get_ident()
        # One of each at a time. To take the last one from a list is a single step, in whatever thread.
        self._may_report = [True]
        self._may_profile = [True]
        self._profile_until = 0.0  # monotonic

    def heed(self, number: int) -> None:
        """Do what a signal of ASKED asks for, if that is not under way."""
        if number == PROFILE_SIGNAL:
            self._profile_until = monotonic() + _AT_A_TIME
            _start(self._profile, self._may_profile)
        else:
            _start(self._report, self._may_report)

    def _report(self) -> None:
        try:
            from bigtop.workers import inspection

            inspection.report(inspection.Writer(self._fd, sleep), self._main, get_ident())
        except Exception:  # what was found in the application may be anything
            log.warning("a report of what this worker does failed", exc_info=True)
        finally:
            self._may_report.append(True)

    def _profile(self) -> None:
        try:
            from bigtop.workers import inspection, sampler

            write = inspection.Writer(self._fd, sleep)
            sampler.Sampler(write, self._main, get_ident()).run(sleep, lambda: self._profile_until)
        except Exception:  # as above
            log.warning("a profile of this worker failed", exc_info=True)
        finally:
            self._may_profile.append(True)


def _start(target: Callable[[], None], may: list[bool]) -> None:
    """Start a thread, in the middle of whatever this one does: nothing may be raised there."""
    try:
        may.pop()
    except IndexError:
        return
    try:
        start_new_thread(target, ())
    except RuntimeError:  # no room for a thread, or the interpreter is about to end
        may.append(True)
