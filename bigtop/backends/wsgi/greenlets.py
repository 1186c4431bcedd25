# A crew of greenlets: a call that waits gives way, and the leader goes on in the same thread.
#
# Rule 1: a call starts at once, as a child of the leader's greenlet. If it ends without waiting (most do),
# that is all, and costs one greenlet. If it waits, gevent's hub runs, whose next duty is to wake the leader:
# then the call is made a child of the hub and goes on as any greenlet does.
# Rule 2: the leader sleeps in one place, _sleep(), and is woken by one function, _wake(), in the hub. Whoever
# wants it awake schedules that, as often as he likes.
# Rule 3: the leader gives every other greenlet its turn between two rounds of events, also when it is never
# without any. Each round it notes the time on the scoreboard: calls may wait for as long as they like, but a
# hub that does not turn any more is stuck (--timeout).
#
# A WebSocket is the application's own affair, which takes the socket by the name that gunicorn gave it. It
# may last, so a drain does not wait for its end: the application is shown the client's.

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
from collections.abc import Callable
from time import monotonic_ns
from typing import Any, Final

import gevent
import gevent.socket
from greenlet import GreenletExit, greenlet

from bigtop.backends.wsgi.call import SOCKET, Call
from bigtop.backends.wsgi.crew import Crew, Lead, leave_at_once
from bigtop.scoreboard import Slot, Word

log = logging.getLogger("bigtop.wsgi")

READABLE: Final = 1  # of an event loop's io watcher
BEAT: Final = int(Word.BEAT)
BEAT_SECONDS: Final = 1.0  # between two notes at most, while calls wait


class Greenlets(Crew):
    """At most `size` greenlets for application calls. Made in the thread and the greenlet that will lead."""

    def __init__(self, size: int, slot: Slot) -> None:
        super().__init__(size)
        self._words = slot.words
        self._leader: Any = gevent.getcurrent()
        self._hub: Any = gevent.get_hub()
        self._asleep = False
        self._taken: set[socket.socket] = set()  # by applications, for WebSockets

    @property
    def holds_up(self) -> bool:
        """Calls that wait leave the thread to others."""
        return not self.has_slot

    def work(self, lead: Callable[[], None]) -> None:
        while not self.stopping:
            lead()

    def run(self, call: Call) -> Lead:
        child: Any = greenlet(self._run)
        awakening = self._hub.loop.run_callback(self._wake)  # the hub gets to it when the call waits
        self._asleep = True
        child.switch(call)
        self._asleep = False
        if child.dead:
            awakening.stop()
            return Lead.KEPT
        child.parent = self._hub
        self.detached += 1
        return Lead.SPARED

    def poll_of(self, epoll: select.epoll) -> Callable[[float], list[tuple[int, int]]]:
        watcher = self._hub.loop.io(epoll.fileno(), READABLE)

        def poll(patience: float) -> list[tuple[int, int]]:
            if self.finished or self.blocked:
                patience = 0.0
            elif self.detached and not 0 <= patience <= BEAT_SECONDS:
                patience = BEAT_SECONDS
            watcher.start(self._wake)
            self._sleep(patience)
            watcher.stop()
            self._words[BEAT] = monotonic_ns()
            events = epoll.poll(0)
            if self.finished or self.blocked:
                events.append((self.fileno(), select.EPOLLIN))
            return events

        return poll

    def hear(self) -> None:
        """Nothing: poll() reports what there is."""

    def wake_leader(self) -> None:
        if self._asleep:
            self._hub.loop.run_callback(self._wake)

    def part(self) -> None:
        for client in self._taken:
            with contextlib.suppress(OSError):  # it may be gone
                client.shutdown(socket.SHUT_RD)

    # ---- the leader

    def _sleep(self, patience: float) -> None:
        loop = self._hub.loop
        timer = loop.timer(patience) if patience > 0 else None
        if timer is not None:
            timer.start(self._wake)
        elif patience == 0:
            loop.run_callback(self._wake)
        self._asleep = True
        self._hub.switch()
        if timer is not None:
            timer.close()

    def _wake(self) -> None:
        """Go on with the leader; in the hub."""
        if self._asleep:
            self._asleep = False
            self._leader.switch()

    # ---- a call's greenlet

    def _run(self, call: Call) -> None:
        me: Any = gevent.getcurrent()
        try:
            if call.request.upgrade and call.unclosed is None:
                self._run_websocket(call)
            else:
                call.run()
        except (gevent.Timeout, GreenletExit):
            # No Exception, so that applications do not catch them by mistake, but their affair all the same.
            call.fail()
        except BaseException:  # sys.exit in the application, or a fault of ours: as in threads.py
            if me.parent is self._leader:
                raise
            log.critical("the worker ends: a greenlet of its crew failed", exc_info=True)
            leave_at_once()
        if me.parent is not self._leader:
            self.finished.append(call)
            self.wake_leader()

    def _run_websocket(self, call: Call) -> None:
        connection = call.connection
        call.request.keep_alive = False
        # The application may close it whenever it likes; who is connected is our affair.
        taken = gevent.socket.socket(fileno=os.dup(connection.fd))
        call.environ = {SOCKET: taken}
        self._taken.add(taken)
        try:
            call.run()
        finally:
            self._taken.discard(taken)
            taken.close()
            if call.exchange.framing is None:  # the application spoke to the client by itself
                with contextlib.suppress(OSError):  # it may be gone
                    connection.socket.shutdown(socket.SHUT_WR)
