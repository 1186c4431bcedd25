# An executor of threads, of which exactly one leads at a time.
#
# Rule 1: the lead is a token, the stream of an application call, in the list `_offer`. The leader puts it
# there while it runs the call; who pops it, leads: the same thread when the call was quick (the normal case,
# two list operations), or the relief when the call took longer than a tick. list.pop is one atomic step in
# CPython, so exactly one of them wins. A thread whose call ends without the lead may also pop the token of
# the present leader, which is then itself inside a call. No two tokens are the same: the next call of a
# stream begins when the leader has settled the one before.
#
# Rule 2: one of the threads without work is the relief; it holds `_standby`, for which the others queue.
# While calls come it looks every few milliseconds whether the same call still runs that ran when it looked
# last. How many depends on what calls usually take: to relieve a leader that would have come back by itself
# gains nothing, and costs both threads their turns. When nothing moved for a while it blocks until the leader
# rings, so that an idle worker has no timer. `size` calls at once need one thread more, which moves bytes.
#
# So with a size of 1 calls never overlap, but they may come from two threads in turn: what an application
# keeps per thread (Django's database connections) exists once for each. For applications that cannot stand
# that, an executor of the main thread alone runs without relief: nothing moves while a call lasts.

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

from bigtop.backends.cutoff import CutOff, Cutting, Interruption, Overdue
from bigtop.backends.wsgi.call import Call
from bigtop.backends.wsgi.executors.executor import Bell, Executor, Lead, leave_at_once
from bigtop.backends.wsgi.executors.overdue import OverdueCalls
from bigtop.backends.wsgi.stream import Stream
from bigtop.backends.wsgi.websockets.upgraded import Upgrades
from bigtop.ipc.histogram import Histogram, since, upper_bound
from bigtop.log import logger as get_logger
from bigtop.system.clock import monotonic_ns

log = get_logger("bigtop.wsgi")

# Seconds between two looks. A shorter tick finds slow calls sooner, but takes the interpreter lock from quick
# ones; so the shortest is for a while after a slow call was found: where there is one there are others.
TICK: Final = 0.005
FINE_TICK: Final = 0.001
FINE_FOR: Final = 1.0
LONGEST_TICK: Final = 0.02
SLOW: Final = 2  # times what most calls take is when one begins to be slow
ENOUGH: Final = 32  # calls, to tell what most of them take
QUIET_TICKS: Final = 10
LEAVE_WITHIN: Final = 1.0


Latencies = Callable[[], Histogram]


class ThreadExecutor(Executor):
    """`size` threads for application calls and one that leads meanwhile; without `relief`, just main.

    `latencies` returns the histogram of this worker's (ipc/histogram.py).
    """

    def __init__(self, size: int, latencies: Latencies, upgrades: Upgrades, *, relief: bool = True) -> None:
        super().__init__(size, _ReliefBell(latencies))
        self.relief = relief
        self.calls = 0  # that were begun; the leader counts, the relief reads
        self._offer: list[Stream] = []
        self._upgrades = upgrades
        self._standby = threading.Lock()
        self._left = threading.Event()  # the main thread is out of work()
        self._threads: list[int] = []  # by number, from their start on
        self._waiting: set[int] = set()  # of these, those that stand by
        self._cutting = Cutting()
        self._call: Call | None = None  # that began last
        self._leader = threading.get_ident()

    def interrupting(self) -> None:
        """Interrupt calls that are past their time limit; before work()."""
        self.overdue = OverdueCalls(_interrupt) if self.relief else None

    @property
    def holds_up(self) -> bool:
        return self.detached > 0

    def work(self, lead: Callable[[], None]) -> None:
        """Serve with this thread as the first leader, until stop(). `lead` returns when the lead is lost."""
        for number in range(self.size if self.relief else 0):
            threading.Thread(
                target=self._join, args=(lead,), name=f"executor-{number + 1}", daemon=True
            ).start()
        try:
            self._take_turns(lead, leading=True)
        except CutOff:  # behind a call that just came to its end
            pass
        finally:
            self._left.set()

    # ---- leader only

    def run(self, call: Call) -> Lead:
        """Run `call` here, with the lead on offer meanwhile."""
        self._call = call
        if not self.relief:
            call.run()
            return Lead.KEPT
        offer, stream = self._offer, call.stream
        self.calls += 1
        offer.append(stream)
        if self.bell.dozing or self.bell.hurries:
            self.bell.ring()
        if self._upgrades.wants(call):
            self._upgrades.run(call)
        else:
            call.run()
        try:
            taken = offer.pop()
        except IndexError:
            if self._cutting.begun:
                self._cutting.await_exception()
            self.finished.append(call)
            self.wake_leader()
            return Lead.LOST
        if taken is stream:
            return Lead.KEPT
        self._follow()
        if self.overdue is not None:
            self.overdue.discard(call)
        return Lead.REGAINED

    def _follow(self) -> None:
        """This thread leads from now on. The leader before is inside of the call that began last."""
        if self.overdue is not None and self._call is not None:
            self.overdue.add(self._call, self._leader)
        self._leader = threading.get_ident()

    def end_late_call(self) -> None:
        """Raise Overdue if this thread, the main thread, which has no relief, is inside of a call that is
        past its limit. A signal's handler does this, so nothing happens meanwhile."""
        call = self._call
        if self.relief or call is None or call.deadline is None or call.is_held_back:
            return
        if call.inside and call.interruption is None and monotonic_ns() > call.deadline.at:
            call.interruption = Interruption(is_over=True)
            raise Overdue

    def part(self, now: int, grace: float | None = None) -> None:
        self._upgrades.part(now, grace)

    @property
    def parting_due(self) -> int:
        return self._upgrades.due

    def cut_off(self, seconds: float) -> None:
        me = threading.get_ident()
        self._cutting.run(lambda: [one for one in self._threads if one != me and one not in self._waiting])
        reports, until = select.poll(), time.monotonic() + seconds
        reports.register(self.fileno(), select.POLLIN)
        while len(self.finished) < self.detached and (left := until - time.monotonic()) > 0:
            if reports.poll(left * 1000):
                self.hear()
        self.wake_leader()  # who reads `finished` hears that first

    def stop(self) -> None:
        super().stop()
        self.bell.ring()

    def hold(self, stream: Stream, data: bytes) -> bool:
        """Not without relief, nor while it looks seldom; nor in a thread that has lost the lead, as the next
        leader is busy already."""
        if self.bell.is_seldom or stream not in self._offer:
            return False
        mine = (stream, data)
        self.held.append(mine)
        # Who takes the lead takes the offer first, then looks for what is held. This is the other order, so
        # one of the two sees the other.
        if stream not in self._offer:
            with suppress(ValueError):  # it is being sent
                self.held.remove(mine)
                return False
        return True

    # ---- threads without the lead

    def _join(self, lead: Callable[[], None]) -> None:
        try:
            self._take_turns(lead, leading=False)
        except CutOff:  # behind a call that just came to its end
            return
        except BaseException:
            # Whatever it is (a fault of ours: the application's end in its call), a thread that is gone may
            # have been the leader, and a worker without one is deaf. A dead worker is replaced, a deaf one is
            # not.
            log.critical("the worker ends: a thread of its executor failed", exc_info=True)
            leave_at_once()
        if not self._left.wait(LEAVE_WITHIN):
            # The main thread is inside an application call that waits in C code. Nothing interrupts it.
            log.error("the worker ends in the middle of a request: the main thread cannot be interrupted")
            leave_at_once()

    def _take_turns(self, lead: Callable[[], None], leading: bool) -> None:
        self._threads.append(threading.get_ident())
        while not self.stopping:
            if leading:
                self._leader = threading.get_ident()
                lead()
            self._waiting.add(threading.get_ident())
            leading = self._stand_by()
            self._waiting.discard(threading.get_ident())

    def _stand_by(self) -> bool:
        """Wait until this thread is the leader (True) or the executor stops (False)."""
        with self._standby:
            seen, quiet = -1, 0
            while not self.stopping:
                if seen == self.calls:
                    if self._take_over():
                        return True
                    quiet += 1
                else:
                    seen, quiet = self.calls, 0
                if quiet < QUIET_TICKS:
                    self.bell.tick()
                else:
                    # The leader offers first and looks for a dozing relief then; this is the other order, so
                    # one of the two sees the other.
                    self.bell.doze(unless=lambda: bool(self._offer) or self.stopping)
                    seen = -1
        return False

    def _take_over(self) -> bool:
        try:
            self._offer.pop()
        except IndexError:
            return False
        self.detached += 1
        self._follow()
        self.bell.fine_until = time.monotonic() + FINE_FOR
        return True


def _interrupt(call: Call, thread: int) -> None:
    call.interruption = interruption = Interruption()
    interruption.send(thread, lambda: call.inside)


class _ReliefBell(Bell):
    """What the relief waits for, in small steps or until it rings."""

    def __init__(self, latencies: Latencies) -> None:
        super().__init__()
        self._strokes: SimpleQueue[None] = SimpleQueue()
        self._usual = _Usual(latencies)

    def tick(self) -> None:
        shortest = FINE_TICK if time.monotonic() < self.fine_until else TICK
        slow = SLOW * self._usual.seconds()
        self.is_seldom = slow > TICK
        seconds = min(LONGEST_TICK, max(shortest, slow))
        if self.hurries:
            self.hurries, seconds = False, FINE_TICK
        with suppress(Empty):
            self._strokes.get(timeout=seconds)

    def doze(self, unless: Callable[[], bool]) -> None:
        self.dozing = True
        if not unless():
            self._strokes.get()
        self.dozing = False

    def ring(self) -> None:
        self.dozing = False
        self._strokes.put(None)


class _Usual:
    """How long most calls of late took: three of four, by the latency histogram of the scoreboard.

    Not the average, which a few slow calls lift to where they are not slow any more.
    """

    __slots__ = ("_latencies", "_seconds", "_seen", "_total")

    def __init__(self, latencies: Latencies) -> None:
        self._latencies = latencies
        self._seen = latencies()
        self._total = sum(self._seen)
        self._seconds = 0.0

    def seconds(self) -> float:
        """Return an upper bound, at most 9 % too high; 0 as long as there were too few calls."""
        counts = self._latencies()
        if (total := sum(counts)) >= self._total + ENOUGH:
            fresh = since(self._seen, counts)
            self._seen, self._total = counts, total
            self._seconds = upper_bound(fresh, 0.75)
        return self._seconds
