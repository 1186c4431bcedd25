# Limit of the time that a request waits for the application (--max-queue-time).
#
# When more comes than can be answered, queues grow until every client has left that is answered. Requests
# that waited too long are refused at once instead, and those that are answered did not wait for longer.
#
# A busy worker does not look at its connections, and takes no new ones. So a request may have waited, mostly
# in the kernel, before anybody here saw it: that tells since when nothing more has come (tcp(7), TCP_INFO).

from __future__ import annotations

from math import ceil
from typing import Final

from bigtop.backends.native.transport.transport import Transport
from bigtop.http.handlers import Reply, refusal_of

_MS: Final = 1_000_000  # nanoseconds


def waited_too_long(seconds: float) -> Reply:
    """Return the answer to a request that did so; the client is asked to wait for as long before the next."""
    after = "Retry-After", str(max(1, ceil(seconds)))
    return refusal_of(503, "too many requests wait", after, closes=False)


class QueueLimit:
    """Refuses requests that waited for more than so many `seconds`."""

    __slots__ = ("_longest", "_refusal")

    def __init__(self, seconds: float) -> None:
        self._longest = int(seconds * 1000)
        self._refusal = waited_too_long(seconds)

    def refusal(self, transport: Transport, waited: int) -> Reply | None:
        """Return the answer to a request that came whole through `transport` and that we saw `waited`
        nanoseconds ago; None if it has not waited for too long."""
        if max(waited // _MS, transport.silence()) > self._longest:
            return self._refusal
        return None
