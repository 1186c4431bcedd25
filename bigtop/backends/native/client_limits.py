# Client limits: connections and requests per second of one address, requests at once.
#
# Rule: trusted proxies and clients of unix sockets are not limited by address: many clients share the address
# of a proxy, and the place to limit those is the proxy.
#
# Requests are counted by a bucket per address, which holds a second's worth and fills at the rate. A full one
# says nothing, so those are thrown away from time to time, and memory goes with the addresses of one moment.

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bigtop.backends.native.timeouts import SECOND
from bigtop.errors import ProtocolError
from bigtop.http.handlers import Reply, refusal_of
from bigtop.http.messages import Request
from bigtop.http.peer import BasePeer

_SWEEP: Final = 1024  # buckets before full ones are thrown away


class AddressConnections:
    """Lets in so many connections of an address at once (--limit-address-connections)."""

    __slots__ = ("_counts", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[str, int] = {}

    def opened(self, peer: BasePeer) -> ProtocolError | None:
        if peer.policy.trusted:
            return None
        count = self._counts[peer.address] = self._counts.get(peer.address, 0) + 1
        return None if count <= self._most else ProtocolError(503, "too many connections from this address")

    def closed(self, peer: BasePeer) -> None:
        if peer.policy.trusted:
            return
        count = self._counts[peer.address] = self._counts[peer.address] - 1
        if not count:
            del self._counts[peer.address]


class AddressRate:
    """Lets through so many requests of an address per second (--limit-address-rate)."""

    __slots__ = ("_buckets", "_rate", "_refusal", "_sweep_at")

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._buckets: dict[str, tuple[int, int]] = {}  # address -> nanoseconds' worth left, when
        self._sweep_at = _SWEEP
        self._refusal = refusal_of(429, "too many requests from this address")

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        return None if peer.policy.trusted or self._has_credit(peer.address, now) else self._refusal

    def _has_credit(self, address: str, now: int) -> bool:
        price = SECOND // self._rate
        full = price * self._rate
        credit, before = self._buckets.get(address, (full, now))
        credit = min(full, credit + now - before)
        enough = credit >= price
        self._buckets[address] = (credit - price if enough else credit), now
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


class Concurrency:
    """Lets through so many requests at once (--limit-concurrency); `busy` tells how many there are."""

    __slots__ = ("_busy", "_most", "_refusal")

    def __init__(self, most: int, busy: Callable[[], int]) -> None:
        self._most = most
        self._busy = busy
        self._refusal = refusal_of(503, "too many requests at once")

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        return None if self._busy() < self._most else self._refusal
