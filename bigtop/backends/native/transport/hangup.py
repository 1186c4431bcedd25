# Hang-up of a client, found out without a word to it and without reading what it sent.
#
# Who sends learns that the client has left when a send fails. This is for answers that bring nothing to send.
#
# Rule: a client that ends its side may have said all, and wait for the answer (`nc -N`): that is legal (RFC
# 9112, 9.6), and looks the same as one that has left. Such a client is believed to be there as long as it may
# be waiting for something: until the answer has brought nothing for PATIENCE.

from __future__ import annotations

import select
from typing import Final, Protocol

from bigtop.ipc.handoff import Descriptor

PATIENCE: Final = 1_000_000_000  # nanoseconds

POLL: Final = select.poll  # kept here: gevent has another one
BROKEN: Final[int] = select.POLLERR | select.POLLHUP
ENDED: Final[int] = getattr(select, "POLLRDHUP", 0)  # Linux, FreeBSD


class Departure(Protocol):
    """Whether a client has left while an answer brings nothing."""

    def is_certain(self, now: int) -> bool:
        """Whether it has; `now` is monotonic nanoseconds."""


class Hangup:
    """Looks after a client while an answer brings nothing."""

    __slots__ = ("_poll", "_since")

    def __init__(self, transport: Descriptor) -> None:
        self._poll = POLL()
        self._poll.register(transport.fileno(), ENDED)  # whether it is broken is said in any case
        self._since = 0

    def is_certain(self, now: int) -> bool:
        """Whether the client has left; `now` is monotonic nanoseconds."""
        found = self._poll.poll(0)
        if not found:
            return False
        if found[0][1] & BROKEN:
            return True
        self._since = self._since or now
        return now - self._since >= PATIENCE
