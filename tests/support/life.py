# A worker's Life over a real lifeline, for backends under test: what workers/life.py is to the supervisor,
# reduced to what the contract in backends/base.py asks for.

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence

from bigtop.backends.base import Probe
from bigtop.backends.native.app_queues import AppQueues
from bigtop.backends.native.transport.encryption import Encryption
from bigtop.ipc import lifeline
from bigtop.ipc.handoff import Handoff
from bigtop.ipc.scoreboard import RequestRecord, Slot
from bigtop.ipc.seats import Seat, SeatState


class WorkerLife:
    """The worker's end of `line`; access lines go to the descriptor `access_fd`."""

    def __init__(
        self,
        line: socket.socket,
        slot: Slot,
        access_fd: int,
        orphan_grace: float = 5.0,
        handoff: Handoff | None = None,
        app_queues: AppQueues | None = None,
    ) -> None:
        self.slot = slot
        self.handoff = handoff
        self.app_queues = app_queues
        self.encryption: Encryption | None = None
        self.draining = self.held = self.shares = False
        self.probes: deque[Probe] = deque()
        self.closing: list[Callable[[], None]] = []
        self.grace = orphan_grace
        self.answered = 0
        self.accesses = None
        self._line = line
        self._access_fd = access_fd
        line.setblocking(False)

    def cut_off(self, waiting: Sequence[RequestRecord] = ()) -> None:
        for record in (*self.slot.running(), *waiting):
            logging.getLogger("bigtop.worker").warning(record.cut_off(time.monotonic_ns()))

    def fileno(self) -> int:
        return self._line.fileno()

    def on_lifeline(self) -> None:
        received = lifeline.receive(self._line)
        if received is None:
            self._drain()
        elif isinstance(received[0], lifeline.Drain):
            self._drain()
            self.grace = received[0].grace

    def _drain(self) -> None:
        self.draining = True
        self.slot.seat[Seat.STATE] = SeatState.DRAINING

    def ready(self) -> None:
        self.slot.seat[Seat.STATE] = SeatState.READY
        lifeline.send(self._line, lifeline.Ready("wsgi"))

    def finished(self) -> None:
        self.answered += 1

    def access(self, line: str) -> None:
        os.write(self._access_fd, line.encode() + b"\n")
