# How much one client address may take of a worker: connections at once, requests per second.
#
# Rule: leader only. Trusted proxies and clients of unix sockets are not limited: many clients share the
# address of a proxy, and the place to limit those is the proxy.
#
# Requests are counted by a bucket per address, which holds a second's worth and fills at the rate. A full one
# says nothing, so those are thrown away from time to time, and memory goes with the addresses of one moment.

from __future__ import annotations

from typing import Final

from bigtop.backends.deadlines import SECOND
from bigtop.http.wsgi import Peer

_SWEEP: Final = 1024  # buckets before full ones are thrown away


class Visitors:
    """Counts per address. 0 connections, or a rate of 0: no limit."""

    __slots__ = ("_buckets", "_connections", "_counts", "_sweep_at", "rate")

    def __init__(self, connections: int, rate: int) -> None:
        self._connections = connections
        self._counts: dict[str, int] = {}
        self.rate = rate
        self._buckets: dict[str, tuple[int, int]] = {}  # address -> nanoseconds' worth left, when
        self._sweep_at = _SWEEP

    def came(self, peer: Peer) -> bool:
        """Count a connection; False when it is one too many."""
        if not self._connections or peer.trusted:
            return True
        count = self._counts[peer.address] = self._counts.get(peer.address, 0) + 1
        return count <= self._connections

    def left(self, peer: Peer) -> None:
        if not self._connections or peer.trusted:
            return
        count = self._counts[peer.address] = self._counts[peer.address] - 1
        if not count:
            del self._counts[peer.address]

    def asks(self, peer: Peer, now: int) -> bool:
        """Count a request; False when it comes too soon."""
        if peer.trusted:
            return True
        price = SECOND // self.rate
        full = price * self.rate
        credit, before = self._buckets.get(peer.address, (full, now))
        credit = min(full, credit + now - before)
        enough = credit >= price
        self._buckets[peer.address] = (credit - price if enough else credit), now
        if len(self._buckets) >= self._sweep_at:
            self._sweep(full, now)
        return enough

    def _sweep(self, full: int, now: int) -> None:
        self._buckets = {
            address: (credit, before)
            for address, (credit, before) in self._buckets.items()
            if credit + now - before < full
        }
        self._sweep_at = max(_SWEEP, 2 * len(self._buckets))
