# A worker's life as it sees it: born, ready, serving, asked to drain.
#
# Rules: the worker decides nothing about itself. It tells its supervisor what it knows (ready, wants to
# retire) and does what it is told (drain). A lifeline at its end means that the supervisor is gone, which is
# the same as being told to drain: there are no orphans.

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from select import EPOLLIN, epoll  # by name: gevent removes epoll from its module
from types import FrameType

from bigtop import lifeline
from bigtop.backends.transfer import Transfer
from bigtop.handoff import Handoff
from bigtop.log import AccessFile
from bigtop.scoreboard import Slot, State, Word
from bigtop.workers.policy import RequestQuota

_ASKED_TO_LEAVE = {signal.SIGTERM: None, signal.SIGINT: 0.0, signal.SIGQUIT: 0.0}


class Life:
    """backends.base.Life over a lifeline socket; which thread may call what is said there."""

    def __init__(
        self,
        line: socket.socket,
        slot: Slot,
        quota: RequestQuota,
        graceful_timeout: float,
        handoff: Handoff | None = None,
        transfer: Transfer | None = None,
    ) -> None:
        self.slot = slot
        self.handoff = handoff
        self.transfer = transfer
        self.draining = False
        self.grace = graceful_timeout
        self.interface = ""  # set once the application is known
        self.leave_by = 0.0  # monotonic time by which a draining worker should be gone
        self._line: socket.socket | None = line
        self._quota = quota
        self._access: AccessFile | None = None
        # The backend watches one descriptor; behind it are the lifeline and what signals wake us with. An
        # epoll descriptor is itself readable when something in it is (epoll(7), Q3).
        line.setblocking(False)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = epoll()
        self._poll.register(line, EPOLLIN)
        self._poll.register(self._wake, EPOLLIN)

    def install_signals(self) -> None:
        """Drain on TERM, leave on INT and QUIT, reopen logs on USR1; main thread only."""
        for number in _ASKED_TO_LEAVE:
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGUSR1, lambda _number, _frame: self._reopen())

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._drain(_ASKED_TO_LEAVE[signal.Signals(number)])
        os.eventfd_write(self._wake, 1)

    def _drain(self, grace: float | None) -> None:
        if grace is not None:
            self.grace = min(grace, self.grace)
        leave_by = time.monotonic() + self.grace
        self.leave_by = min(leave_by, self.leave_by) if self.draining else leave_by
        self.draining = True
        self.slot.words[Word.STATE] = State.DRAINING

    def _reopen(self) -> None:
        if self._access is not None:
            self._access.reopen()

    def fileno(self) -> int:
        return self._poll.fileno()

    def on_lifeline(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        while self._line is not None:
            try:
                received = lifeline.receive(self._line)
            except BlockingIOError:
                return
            except OSError:
                received = None
            match received:
                case None:
                    self._poll.unregister(self._line)
                    self._line.close()
                    self._line = None
                    self._drain(None)
                case (lifeline.Drain(grace), _):
                    self._drain(grace)
                case (lifeline.Reopen(), _):
                    self._reopen()

    def _say(self, message: lifeline.Message) -> None:
        if self._line is None:
            return
        with contextlib.suppress(OSError):  # the supervisor is gone; end-of-file says so too
            lifeline.send(self._line, message)

    def open_access_log(self, path: str | None) -> None:
        if path is not None:
            self._access = AccessFile(path)

    def cannot_boot(self, message: str, traceback: str) -> None:
        """Say why there will be no ready()."""
        self._say(lifeline.BootFailed(message, traceback))

    def ready(self) -> None:
        self.slot.words[Word.STATE] = State.READY
        self._say(lifeline.Ready(self.interface))

    def finished(self) -> None:
        if self._quota.limit and self._quota.used_up():
            self._say(lifeline.Retire("it has answered its share of requests"))

    def access(self, line: str) -> None:
        if self._access is not None:
            self._access.write(line)
