# Who leads: the threads of a worker, of which exactly one owns the event loop at a time.
#
# Rule 1: all state of the loop is touched by the leader alone. Other threads reach it through `finished` and
# `blocked`, followed by a write to an eventfd. No lock guards the loop; only an outbox has one.
#
# Rule 2: the lead is a token, an application call in the list `_offer`. The leader puts the call there while
# it runs it; who pops it, leads: the same thread when the call was quick (the normal case, two list
# operations), or the relief when the call took longer than a tick. list.pop is one atomic step in CPython, so
# exactly one of them wins. A thread whose call ends without the lead may also pop the token of the present
# leader, which is then itself inside a call.
#
# Rule 3: one of the threads without work is the relief; it holds `_standby`, for which the others queue.
# While calls come it looks every TICK; when nothing moved for a while it blocks until the leader rings, so
# that an idle worker has no timer. `size` calls at once need one thread more, which moves bytes meanwhile.
#
# So with a size of 1 calls never overlap, but they may come from two threads in turn: what an application
# keeps per thread (Django's database connections) exists once for each.

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Final

from bigtop.backends.wsgi.call import Call

log = logging.getLogger("bigtop.wsgi")

TICK: Final = 0.005  # a shorter one finds slow calls sooner, but takes the interpreter lock from quick ones
QUIET_TICKS: Final = 10
LEAVE_WITHIN: Final = 1.0


class Lead(Enum):
    """What became of the lead during a call."""

    KEPT = 1
    REGAINED = 2  # it was lost, and taken back from a leader that was itself inside a call
    LOST = 3


class Crew:
    """`size` threads for application calls and one that leads meanwhile."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.stopping = False
        # ---- leader only
        self.detached = 0  # calls that run in threads which lost the lead
        self.turns = 0  # of the event loop; the relief reads it
        # ---- any thread
        self.finished: deque[Call] = deque()  # calls that ended in a thread without the lead
        self.blocked: deque[Call] = deque()  # calls with output that their client does not take
        self._offer: list[Call] = []
        self._standby = threading.Lock()
        self._dozing = False  # the relief waits for the bell
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._left = threading.Event()  # the main thread is out of work()

    def fileno(self) -> int:
        """The descriptor that is readable when `finished` or `blocked` has something for the leader."""
        return self._eventfd

    def work(self, lead: Callable[[], None]) -> None:
        """Serve with this thread as the first leader, until stop(). `lead` returns when the lead is lost."""
        for number in range(self.size):
            threading.Thread(target=self._join, args=(lead,), name=f"crew-{number + 1}", daemon=True).start()
        try:
            self._take_turns(lead, leading=True)
        finally:
            self._left.set()

    # ---- leader only

    def run(self, call: Call) -> Lead:
        """Run `call` here, with the lead on offer meanwhile."""
        offer = self._offer
        offer.append(call)
        if self._dozing:
            self._ring()
        call.run()
        try:
            taken = offer.pop()
        except IndexError:
            self.finished.append(call)
            self.wake_leader()
            return Lead.LOST
        return Lead.KEPT if taken is call else Lead.REGAINED

    def hear(self) -> None:
        """Reset the descriptor; call before reading `finished` and `blocked`."""
        os.eventfd_read(self._eventfd)

    def stop(self) -> None:
        """End work() in every thread that is not inside a call."""
        self.stopping = True
        self._ring()

    # ---- any thread

    def block(self, call: Call) -> None:
        """Ask the leader to send what the client of `call` did not take."""
        self.blocked.append(call)
        self.wake_leader()

    def wake_leader(self) -> None:
        os.eventfd_write(self._eventfd, 1)

    # ---- threads without the lead

    def _join(self, lead: Callable[[], None]) -> None:
        try:
            self._take_turns(lead, leading=False)
        except BaseException:
            # Whatever it is (a fault of ours, sys.exit in the application), a thread that is gone may have
            # been the leader, and a worker without one is deaf. A dead worker is replaced, a deaf one is not.
            log.critical("the worker ends: a thread of its crew failed", exc_info=True)
            leave_at_once()
        if not self._left.wait(LEAVE_WITHIN):
            # The main thread is inside an application call that outlives the grace. Nothing interrupts it.
            log.error("the worker ends in the middle of a request: its time to finish is over")
            leave_at_once()

    def _take_turns(self, lead: Callable[[], None], leading: bool) -> None:
        while not self.stopping:
            if leading:
                lead()
            leading = self._stand_by()

    def _stand_by(self) -> bool:
        """Wait until this thread is the leader (True) or the crew stops (False)."""
        with self._standby:
            seen, quiet = -1, 0
            while not self.stopping:
                if seen == self.turns:
                    if self._take_over():
                        return True
                    quiet += 1
                else:
                    seen, quiet = self.turns, 0
                if quiet < QUIET_TICKS:
                    self._sleep(TICK)
                else:
                    self._doze()
                    seen = -1
        return False

    def _take_over(self) -> bool:
        try:
            self._offer.pop()
        except IndexError:
            return False
        self.detached += 1
        return True

    def _doze(self) -> None:
        self._dozing = True
        # The leader offers first and looks for a dozing relief then; this is the other order, so one of the
        # two sees the other.
        if not self._offer and not self.stopping:
            self._bell.get()
        self._dozing = False

    def _sleep(self, seconds: float) -> None:
        with suppress(Empty):
            self._bell.get(timeout=seconds)

    def _ring(self) -> None:
        self._dozing = False
        self._bell.put(None)


def leave_at_once() -> None:
    """End this process from any thread, with what was logged written out."""
    logging.shutdown()
    os._exit(os.EX_SOFTWARE)
