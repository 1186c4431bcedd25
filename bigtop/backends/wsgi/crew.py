# Who runs application calls beside the event loop.
#
# Rule: all state of the loop is touched by the leader alone. Who else runs a call reaches it through
# `finished` and `blocked`, and then wakes it. No lock guards the loop; only an outbox has one.
#
# Rule: an answer may be held while further calls of the same turn run, and is sent with theirs. What an
# application needs then stays in the processor's caches, and does not make room for the kernel's TCP after
# each call; and a client with many connections is woken once. (Hello world by Django: a quarter less.)
# But none is held for long, nor by a crew in which nobody takes the lead from a call that lasts. Who takes it
# sends first what is held.
#
# Two kinds: threads.py, in which a slow call costs the lead, and greenlets.py, where it gives way.

from __future__ import annotations

import logging
import os
import select
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Final

from bigtop.backends.wsgi.call import Call


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


class Crew(ABC):
    """Those who run calls, at most `size` of them at once."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.stopping = False
        self.detached = 0  # calls that go on without the lead; leader only
        self.finished: deque[Call] = deque()  # calls that ended without the lead
        self.held: deque[tuple[Call, bytes]] = deque()  # the ends of answers, for the leader to send
        self.blocked: deque[Call] = deque()  # calls with output that their client does not take
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    @property
    def has_slot(self) -> bool:
        """Whether another application call may begin; leader only."""
        return self.detached < self.size

    @property
    @abstractmethod
    def holds_up(self) -> bool:
        """Whether calls that go on hold others up, so that an idle worker answers sooner; leader only."""

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

    def part(self) -> None:  # noqa: B027 - most have nothing to do
        """The worker drains: ask calls that have no end of their own to come to one. Leader only."""

    def stop(self) -> None:
        """End work() in everybody that is not inside a call. Leader only."""
        self.stopping = True

    # ---- whoever runs a call

    def hold(self, call: Call, data: bytes) -> bool:
        """Leave `data`, the end of the answer of `call`, to the leader, which sends it soon; False if this
        crew cannot promise that."""
        return False

    def send_held(self) -> None:
        """Send what is held, in place of the leader: the process ends with this thread."""
        with suppress(IndexError):  # the leader sends the last of it
            while True:
                call, data = self.held.popleft()
                call.deliver(data)

    # ---- from anywhere

    def block(self, call: Call) -> None:
        """Ask the leader to send what the client of `call` did not take."""
        self.blocked.append(call)
        self.wake_leader()

    def wake_leader(self) -> None:
        os.eventfd_write(self._eventfd, 1)


def leave_at_once() -> None:
    """End this process from any thread, with what was logged written out."""
    logging.shutdown()
    os._exit(os.EX_SOFTWARE)
