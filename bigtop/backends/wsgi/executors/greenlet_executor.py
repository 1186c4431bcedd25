# An executor of greenlets: a call that waits gives way, and the leader goes on in the same thread.
#
# Rule 1: a call starts at once, as a child of the leader's greenlet. If it ends without waiting (most do),
# that is all, and costs one greenlet. If it waits, gevent's hub runs, whose next duty is to wake the leader:
# then the call is made a child of the hub and goes on as any greenlet does.
# Rule 2: the leader sleeps in one place, _sleep(), and is woken by one function, _wake(), in the hub. Whoever
# wants it awake schedules that, as often as he likes.
# Rule 3: the leader gives every other greenlet its turn between two rounds of events, also when it is never
# without any. Each round it notes the time on the scoreboard: calls may wait for as long as they like, but a
# hub that does not turn any more is stuck (--timeout).

from __future__ import annotations

import select
from collections.abc import Callable
from time import monotonic_ns
from types import FrameType
from typing import Any, Final

import gevent
from greenlet import greenlet

from bigtop.backends.cutoff import CutOff, Interruption, Overdue, is_foreign, stands_still
from bigtop.backends.wsgi.call import Call
from bigtop.backends.wsgi.executors.executor import Bell, Executor, Lead, leave_at_once
from bigtop.backends.wsgi.executors.overdue import OverdueCalls
from bigtop.backends.wsgi.websockets.upgraded import Upgrades
from bigtop.http.paths.time_limits import SECOND
from bigtop.ipc.scoreboard import Slot, Word, beat_seconds
from bigtop.log import logger as get_logger

log = get_logger("bigtop.wsgi")

READABLE: Final = 1  # of an event loop's io watcher
BEAT: Final = int(Word.BEAT)


class GreenletExecutor(Executor):
    """At most `size` greenlets for application calls, during which the hub may stand still for `timeout`
    seconds. Made in the thread and the greenlet that will lead."""

    def __init__(self, size: int, slot: Slot, upgrades: Upgrades, timeout: float) -> None:
        super().__init__(size, Bell())
        self._words = slot.words
        self._timeout_ns = int(timeout * SECOND)
        self._beat_seconds = beat_seconds(timeout)
        self._leader: Any = gevent.getcurrent()
        self._hub: Any = gevent.get_hub()
        self._asleep = False
        self._upgrades = upgrades
        self._lasting: dict[Any, Call] = {}  # by their greenlets: calls that have waited
        self._call: Call | None = None  # that began last

    def interrupting(self) -> None:
        """Interrupt calls that are past their time limit; before work()."""
        self.overdue = OverdueCalls(self._interrupt)

    @property
    def holds_up(self) -> bool:
        """Calls that wait leave the thread to others."""
        return not self.has_slot

    def work(self, lead: Callable[[], None]) -> None:
        while not self.stopping:
            lead()

    def run(self, call: Call) -> Lead:
        self._call = call
        child: Any = greenlet(self._run)
        awakening = self._hub.loop.run_callback(self._wake)  # the hub gets to it when the call waits
        self._asleep = True
        child.switch(call)
        self._asleep = False
        if child.dead:
            awakening.stop()
            return Lead.KEPT
        child.parent = self._hub
        self._lasting[child] = call
        self.detached += 1
        if self.overdue is not None:
            self.overdue.add(call, child)
        return Lead.SPARED

    def poll_of(self, epoll: select.epoll) -> Callable[[float], list[tuple[int, int]]]:
        watcher = self._hub.loop.io(epoll.fileno(), READABLE)

        def poll(patience: float) -> list[tuple[int, int]]:
            if self.finished or self.blocked:
                patience = 0.0
            elif self.detached and not 0 <= patience <= self._beat_seconds:
                patience = self._beat_seconds
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

    def part(self, now: int, grace: float | None = None) -> None:
        self._upgrades.part(now, grace)

    @property
    def parting_due(self) -> int:
        return self._upgrades.due

    def cut_off(self, seconds: float) -> None:
        for child in self._lasting:
            self._hub.loop.run_callback(_end, child)
        until = monotonic_ns() + int(seconds * 1e9)
        while len(self.finished) < self.detached and (left := until - monotonic_ns()) > 0:
            self._sleep(left / 1e9)

    def _interrupt(self, call: Call, child: Any) -> None:
        call.interruption = Interruption(is_over=True)
        self._hub.loop.run_callback(_throw, child, call)

    def end_standstill(self, frame: FrameType | None) -> None:
        """Raise Overdue if this thread is inside of a call, at `frame`, that keeps the hub from turning. A
        signal's handler does this, so nothing happens meanwhile."""
        me: Any = gevent.getcurrent()
        call = self._call if me.parent is self._leader else self._lasting.get(me)
        if call is None or not call.inside or call.interruption is not None:
            return
        if stands_still(self._words, self._timeout_ns) and is_foreign(frame):
            call.interruption = Interruption(is_over=True)
            raise Overdue

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
            if self._upgrades.wants(call):
                self._upgrades.run(call)
            else:
                call.run()
        except BaseException:  # a fault of ours: as in thread_executor.py
            if me.parent is self._leader:
                raise
            log.critical("the worker ends: a greenlet of its executor failed", exc_info=True)
            leave_at_once()
        if me.parent is not self._leader:
            self._lasting.pop(me, None)
            self.finished.append(call)
            self.wake_leader()


def _throw(child: Any, call: Call) -> None:
    if not child.dead and call.inside and not call.is_held_back:  # nobody else runs now: it waits
        child.throw(Overdue)


def _end(child: Any) -> None:
    if not child.dead:  # it came to its own end since
        child.throw(CutOff)
