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
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from select import EPOLLIN, epoll  # by name: gevent removes epoll from its module
from types import FrameType
from typing import TYPE_CHECKING

from bigtop.backends.base import Probe
from bigtop.backends.cutoff import CutOff, wake_main
from bigtop.backends.native.app_queues import AppQueues
from bigtop.errors import ConfigError
from bigtop.ipc import keyring, lifeline
from bigtop.ipc.handoff import Handoff
from bigtop.ipc.scoreboard import RequestRecord, Slot
from bigtop.ipc.seats import Seat, SeatState
from bigtop.log import AccessFile
from bigtop.system import signals
from bigtop.workers.reporter import ASKED, Reporter
from bigtop.workers.request_quota import LIMIT, WARM, RequestQuota
from bigtop.workers.shutdown import Shutdown
from bigtop.workers.signalpipe import SignalPipe

if TYPE_CHECKING:
    from bigtop.backends.native.transport.encryption import Encryption
    from bigtop.http.access_log.access_format import AccessRecord

# Seconds for open requests; None: as long as they may take.
ASKED_TO_LEAVE: dict[int, float | None] = {signal.SIGTERM: None, signal.SIGINT: 0.0, signal.SIGQUIT: 0.0}


class Life:
    """backends.base.Life over a lifeline socket, None without a supervisor; which thread may call what is
    said there."""

    def __init__(
        self,
        line: socket.socket | None,
        slot: Slot,
        quota: RequestQuota,
        shutdown: Shutdown,
        handoff: Handoff | None = None,
        app_queues: AppQueues | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        self.slot = slot
        self.handoff = handoff
        self.app_queues = app_queues
        self.encryption: Encryption | None = None
        self.draining = False
        self.held = self.shares = False
        self.probes: deque[Probe] = deque()
        self.importing = False  # whoever is to leave now has nothing to finish
        self._shutdown = shutdown
        self.interface = ""  # set once the application is known
        self._line: socket.socket | None = line
        self.finished: Callable[[], None] | None = partial(self._count, quota) if quota.counts else None
        self._access: AccessFile | None = None
        self.accesses: Callable[[AccessRecord], None] | None = None
        self.reopen_logs: Callable[[], None] | None = None  # those of other people
        self.interrupted: Callable[[], None] | None = None  # told by the main thread that there is no time
        # The backend watches one descriptor; behind it are the lifeline and what signals wake us with. An
        # epoll descriptor is itself readable when something in it is (epoll(7), Q3).
        self._reporter = reporter
        numbers = (*ASKED_TO_LEAVE, signal.SIGUSR1, signals.CUT_SIGNAL, *(ASKED if reporter else ()))
        self._signals = SignalPipe(numbers, self._on_signal)
        self._poll = epoll()
        self._poll.register(self._signals, EPOLLIN)
        if line is not None:
            line.setblocking(False)
            self._poll.register(line, EPOLLIN)

    def install_signals(self) -> None:
        """Drain on TERM, leave on INT and QUIT, reopen logs on USR1; main thread only."""
        self._signals.install()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Do at once what cannot wait until on_lifeline() is called: an application call that hangs may keep
        the main thread from it. It is a method of this object for should_exit's sake."""
        if self._reporter is not None and number in ASKED:
            self._reporter.heed(number)
            return
        self._signals.note(number)
        if self._shutdown.is_over:
            return
        if number in ASKED_TO_LEAVE:
            begun = self.draining
            self._drain(0.0 if self.importing else ASKED_TO_LEAVE[number])
            if self.importing and not begun:
                raise SystemExit(0)  # gevent's hub passes that on to who waits for it, and nothing else
        elif number == signals.CUT_SIGNAL and not self.draining:
            # The time for open requests is over. Whoever serves would know that, if this thread, which should
            # have heard that it has to drain, were not inside of an application call.
            self.cut_off()
            self._drain(0.0)
            raise CutOff
        elif self._shutdown.at_once and self.interrupted is not None:
            self.interrupted()

    def _drain(self, grace: float | None) -> None:
        before = self._shutdown.at_once
        self._shutdown.begin(grace)
        if not self.draining:
            self.draining = True
            self.slot.seat[Seat.STATE] = SeatState.DRAINING
        if self._shutdown.at_once and not before and self.interrupted is not None:
            wake_main()  # it handles an earlier SIGABRT first

    @property
    def grace(self) -> float:
        """Seconds that remain for open requests, once draining."""
        return self._shutdown.left

    def cut_off(self, waiting: Sequence[RequestRecord] = ()) -> None:
        """No request is waited for any more: say which are cut off, and which were `waiting` to begin."""
        self._shutdown.cut_off(waiting)

    @property
    def should_exit(self) -> bool:
        """Whether it drains, under uvicorn's name. Who wants to know when uvicorn ends (sse-starlette) asks
        the object that handles SIGTERM for it."""
        return self.draining

    def end(self, status: int) -> None:
        """Nothing is left to do but to exit with `status`; main thread only."""
        self._shutdown.end(status)

    @property
    def closing(self) -> list[Callable[[], None]]:
        return self._shutdown.closing

    def leave(self) -> None:
        """Let go of what only a worker has; main thread only, when it has drained."""
        self._shutdown.leave()
        self._signals.close()
        self._poll.close()
        if self._line is not None:
            self._line.close()
            self._line = None
        for queues in (self.handoff, self.app_queues):
            if queues is not None:
                queues.close()
        if self._access is not None:
            self._access.close()
            self._access = None

    def fileno(self) -> int:
        return self._poll.fileno()

    def on_lifeline(self) -> None:
        for number in self._signals.read():
            if number in ASKED_TO_LEAVE:
                self._drain(ASKED_TO_LEAVE[number])
            elif number == signal.SIGUSR1:
                self._reopen()
            elif self._reporter is not None and number in ASKED:
                self._reporter.heed(number)
        while self._line is not None:
            try:
                received = lifeline.receive(self._line, 1)
            except BlockingIOError:
                return
            except OSError:
                received = None
            if received is None:
                self._poll.unregister(self._line)
                self._line.close()
                self._line = None
                self._drain(None)
            else:
                self._heed(*received)

    def _heed(self, message: lifeline.Message, fds: tuple[int, ...]) -> None:
        """Do what the supervisor says."""
        match message, fds:
            case lifeline.Drain(grace), _:
                self._drain(grace)
            case lifeline.Promote(grace), (fd,):
                self._shutdown.control = socket.socket(fileno=fd)
                self._drain(grace)
            case lifeline.Reopen(), _:
                self._reopen()
            case lifeline.Certificates(digest), (fd,):
                self._say(lifeline.Serves(digest, self._renewed(fd)))
            case lifeline.Probe(scheme), (fd,):
                self.probes.append(Probe(socket.socket(fileno=fd), scheme))
            case lifeline.Admit(), _:
                self._admit()
            case lifeline.Share(), _:
                self.shares = True

    def _renewed(self, fd: int) -> str:
        """Serve with the certificates in a sealed file; return why not, "" if so."""
        try:
            if self.encryption is not None:
                self.encryption.contexts.use(keyring.read(fd))
        except ConfigError as error:
            return str(error)
        finally:
            os.close(fd)
        return ""

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
        self._signals.wake()  # the application may have taken that, or left it unused
        if not self.held:
            self.slot.seat[Seat.STATE] = SeatState.READY
        self._say(lifeline.Ready(self.interface))

    def _admit(self) -> None:
        self.held = False
        if not self.draining:
            self.slot.seat[Seat.STATE] = SeatState.READY

    def _count(self, quota: RequestQuota) -> None:
        reached = quota.count()
        if reached is LIMIT:
            self._say(lifeline.Retire("it has answered its share of requests"))
        elif reached is WARM:
            self._say(lifeline.Warm())

    def access(self, line: str) -> None:
        if self._access is not None:
            self._access.write(line)

    def _reopen(self) -> None:
        if self._access is not None:
            self._access.reopen()
        if self.reopen_logs is not None:
            self.reopen_logs()
