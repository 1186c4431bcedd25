# Executor: runs application calls beside the event loop.
#
# Rule: all state of the loop is touched by the leader alone. Who else runs a call reaches it through
# `finished` and `blocked`, and then wakes it. No lock guards the loop; only a write buffer has one.
#
# Rule: an answer may be held while further calls of the same turn run, and is sent with theirs. What an
# application needs then stays in the processor's caches, and does not make room for the kernel's TCP after
# each call; and a client with many connections is woken once. (Hello world by Django: a quarter less.)
# But none is held for long, nor by an executor in which nobody takes the lead from a call that lasts. Who
# takes it sends first what is held.
#
# Two kinds: thread_executor.py, in which a slow call costs the lead, and greenlet_executor.py, where it gives
# way.

from __future__ import annotations

import os
import select
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final, NoReturn

from bigtop.backends import ending
from bigtop.backends.native.timeouts import NEVER
from bigtop.backends.wsgi.call import Call
from bigtop.backends.wsgi.executors.overdue import OverdueCalls
from bigtop.backends.wsgi.stream import Leader, Stream


class Lead(Enum):
    """What became of the lead during a call."""

    KEPT = 1
    REGAINED = 2  # it was lost, and taken back from a leader that was itself inside a call
    LOST = 3
    SPARED = 4  # it was kept, but the call goes on elsewhere and comes back through `finished`


# By themselves: an enum's member costs a look-up each time it is named.
KEPT: Final[Lead] = Lead.KEPT
LOST: Final[Lead] = Lead.LOST
SPARED: Final[Lead] = Lead.SPARED


class Bell:
    """What somebody waits for who looks whether calls are slow; here: nobody does."""

    def __init__(self) -> None:
        self.dozing = False
        self.fine_until = 0.0  # monotonic
        self.is_seldom = False  # calls usually take so long that a tick does, too
        self.hurries = False  # others wait for the call that is begun next: the tick is a short one

    def tick(self) -> None:
        """Wait for a while."""

    def doze(self, unless: Callable[[], bool]) -> None:
        """Wait until it rings."""

    def ring(self) -> None:
        """Have no more waited."""


class Executor(Leader):
    """Those who run calls, at most `size` of them at once."""

    def __init__(self, size: int, bell: Bell) -> None:
        self.size = size
        self.bell = bell
        self.stopping = False
        self.detached = 0  # calls that go on without the lead; leader only
        self.finished: deque[Call] = deque()  # calls that ended without the lead
        self.held: deque[tuple[Stream, bytes]] = deque()  # the ends of answers, for the leader to send
        self.blocked: deque[Stream] = deque()  # with output that their client does not take
        self.overdue: OverdueCalls | None = None  # None: none is interrupted; leader only
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    @property
    def has_slot(self) -> bool:
        """Whether another application call may begin; leader only."""
        return self.detached < self.size

    @property
    @abstractmethod
    def holds_up(self) -> bool:
        """Whether calls that go on hold others up, so that an idle worker answers sooner; leader only."""

    def settled(self, call: Call) -> None:
        """The leader knows that a call which went on without the lead is over."""
        self.detached -= 1
        if self.overdue is not None:
            self.overdue.discard(call)

    @abstractmethod
    def work(self, lead: Callable[[], None]) -> None:
        """Serve, with this thread as the first leader, until stop(). `lead` returns when the lead is lost."""

    @abstractmethod
    def run(self, call: Call) -> Lead:
        """Run `call`; leader only."""

    def poll_of(self, epoll: select.epoll) -> Callable[[float], list[tuple[int, int]]]:
        """Return how the leader waits for events: a function of the seconds it has, -1 for ever."""
        return epoll.poll

    def fileno(self) -> int:
        """The descriptor that is readable when `finished` or `blocked` has something for the leader."""
        return self._eventfd

    def hear(self) -> None:
        """Reset the descriptor; call before reading `finished` and `blocked`. Leader only."""
        os.eventfd_read(self._eventfd)

    def part(self, now: int, grace: float | None = None) -> None:
        """The worker drains: ask calls that have no end of their own to come to one, one after the other
        within `grace` seconds. May be repeated; without `grace` it is gone on with. Leader only."""

    @property
    def parting_due(self) -> int:
        """When part() is to be gone on with; leader only."""
        return NEVER

    @abstractmethod
    def cut_off(self, seconds: float) -> None:
        """End calls under way, wherever they stand, and give them so long for it. Those that come to an end
        are in `finished`. Leader only."""

    def stop(self) -> None:
        """End work() in everybody that is not inside a call. Leader only."""
        self.stopping = True

    def close(self) -> None:
        """Let go of the descriptor; when no thread is left that could wake the leader."""
        os.close(self._eventfd)

    # ---- whoever runs a call

    def hold(self, stream: Stream, data: bytes) -> bool:
        return False

    # ---- from anywhere

    def block(self, stream: Stream) -> None:
        self.blocked.append(stream)
        self.wake_leader()

    def wake_leader(self) -> None:
        os.eventfd_write(self._eventfd, 1)


def leave_at_once() -> NoReturn:
    """End this process from any thread, with its exit handlers called."""
    ending.leave(os.EX_SOFTWARE)
