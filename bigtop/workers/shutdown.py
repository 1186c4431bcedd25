# The end of a worker: how long open requests have, what happens to those that take longer, and the exit.
#
# Rule: each step has a limit of its own, and who hangs in one is left behind. What hangs is not known, so the
# clock is a thread; only what keeps that from running (C code that holds the interpreter lock) is the
# supervisor's affair.

from __future__ import annotations

import os
import socket
import threading
import time
from _thread import allocate_lock, start_new_thread  # by name, as sleep: gevent puts its own in their modules
from collections.abc import Callable, Sequence
from time import sleep

from bigtop.backends import ending
from bigtop.backends.cutoff import MARGIN, interrupt
from bigtop.ipc.scoreboard import RequestRecord, Slot, Word
from bigtop.log import logger as get_logger

log = get_logger("bigtop.worker")

_LATE = 1.0  # seconds after the time for open requests in which whoever serves should have noticed
_HANGS = MARGIN / 2  # seconds for what was interrupted after that; the supervisor waits for longer


class Shutdown:
    """`grace` is how many seconds open requests have, if nobody says less."""

    def __init__(self, slot: Slot, grace: float) -> None:
        self.is_over = False  # only exit handlers run
        self.at_once = False  # whoever asked for it gave open requests no time
        self.control: socket.socket | None = None  # of a fork server, which this process is to be then
        self.closing: list[Callable[[], None]] = []  # what else has to be let go of for that
        self._slot = slot
        self._grace = grace
        self._leave_by: float | None = None  # monotonic; None: it was not begun
        self._minding = allocate_lock()  # held until nobody has to mind the time any more
        self._minding.acquire()

    def begin(self, grace: float | None) -> None:
        """Let open requests have `grace` seconds from now on, None: what they have anyway. What was said
        before can only become less."""
        if grace is not None:
            self._grace = min(grace, self._grace)
            self.at_once = self.at_once or not (grace or self._slot.words[Word.CUT])
        leave_by = time.monotonic() + self._grace
        if self._leave_by is None or leave_by < self._leave_by:
            self._leave_by = leave_by
            start_new_thread(self._mind, (leave_by,))

    @property
    def left(self) -> float:
        """Seconds that remain for open requests."""
        return self._grace if self._leave_by is None else max(0.0, self._leave_by - time.monotonic())

    def _mind(self, leave_by: float) -> None:
        """See that the time for open requests has an end where the thread that serves is inside of one."""
        if self._minding.acquire(timeout=max(0.0, leave_by - time.monotonic()) + _LATE):
            self._minding.release()  # for another one that minds
            return
        if self._slot.words[Word.CUT]:
            return
        self.cut_off()
        interrupt(threading.main_thread().ident or 0)
        sleep(_HANGS)
        if not self.is_over:
            log.error("the worker ends in the middle of what its main thread does: nothing interrupts that")
            ending.leave(os.EX_SOFTWARE)

    def leave(self) -> None:
        """Nothing is open any more, and the process goes on as something else: have no thread be left."""
        self._minding.release()

    def cut_off(self, waiting: Sequence[RequestRecord] = ()) -> None:
        """No request is waited for any more: say which are cut off, and which were `waiting` to begin."""
        if self._slot.words[Word.CUT]:
            return
        self._slot.words[Word.CUT] = 1
        running, now = self._slot.running(), time.monotonic_ns()
        for record in (*running, *waiting):
            log.warning("%s: the worker's time to finish is over", record.cut_off(now))
        if (untold := self._slot.words[Word.BUSY] - len(running)) > 0:
            log.warning("and %d more requests are cut off", untold)

    def end(self, status: int) -> None:
        """Nothing is left to do but to exit with `status`. Exit handlers get their time, and so does what
        still runs in threads; past the time for open requests it was given up, and gets less. Child processes
        that Python waits for have what open requests would have. Main thread only."""
        self.cut_off()
        self.is_over = True
        seconds = ending.EXIT_SECONDS
        if self._leave_by is not None and not self.left:
            seconds = min(seconds, max(_LATE, self._leave_by + _HANGS - time.monotonic()))
        ending.expect(seconds, status, processes=self.left)
