# Client limits: connections and requests of one address in all workers of an application, requests at once.
#
# An address of IPv6 counts as its network of 64 bits, which one client has as a whole.
# Rule: trusted proxies and clients of unix sockets are not limited by address: many clients share the address
# of a proxy (http/gates/client.py).

from __future__ import annotations

import socket
from collections.abc import Callable

from bigtop.errors import ProtocolError
from bigtop.http.clients.peer import BasePeer
from bigtop.http.declarations import Rate
from bigtop.http.gates.client import client_of
from bigtop.http.gates.rates import depth_of, price_of, retry_after, told
from bigtop.http.handlers import Draft, Reply, refusal_of
from bigtop.http.memo import remember
from bigtop.http.messages import Request
from bigtop.ipc.client_table import ClientTable


def network_of(address: str) -> bytes:
    """Return what of an address stands for its client."""
    try:
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except OSError:
        try:
            return socket.inet_pton(socket.AF_INET, address)
        except OSError:  # a name that a proxy made up (RFC 7239, 6.3)
            return address.encode()
    return packed[12:] if packed.startswith(bytes(10) + b"\xff\xff") else packed[:8]


class AddressKeys:
    """Makes the keys by which a table knows addresses; `zone` tells those apart that are counted apart."""

    def __init__(self, table: ClientTable, zone: str) -> None:
        from hashlib import blake2b  # with OpenSSL, for those who limit

        self._begun = blake2b(zone.encode() + b"\0", key=table.secret, digest_size=8)
        self._known: dict[str, int] = {}  # see memo.py

    def of(self, address: str) -> int:
        key = self._known.get(address)
        if key is None:
            whole = self._begun.copy()
            whole.update(network_of(address))
            key = int.from_bytes(whole.digest(), "little") or 1  # 0 is no key
            remember(self._known, address, key)
        return key


class AddressConnections:
    """Lets in so many connections of an address at once (--limit-address-connections)."""

    __slots__ = ("_keys", "_most", "_table")

    def __init__(self, most: int, table: ClientTable) -> None:
        self._most = most
        self._table = table
        self._keys = AddressKeys(table, "")

    def opened(self, peer: BasePeer) -> ProtocolError | None:
        if peer.policy.trusted or self._table.enter(self._keys.of(peer.address)) <= self._most:
            return None
        return ProtocolError(503, "too many connections from this address")

    def closed(self, peer: BasePeer) -> None:
        if not peer.policy.trusted:
            self._table.leave(self._keys.of(peer.address))


class AddressRate:
    """Lets through so many requests of an address (--limit-address-rate). As a filter it tells how many are
    left (--rate-limit-fields). `zone` is the path that they are counted for, "" for all others."""

    __slots__ = ("_depth", "_keys", "_price", "_rate", "_refusals", "_table")

    def __init__(self, rate: Rate, zone: str, table: ClientTable) -> None:
        self._rate = rate
        self._price = price_of(rate)
        self._depth = depth_of(rate)
        self._table = table
        self._keys = AddressKeys(table, f"rate {zone}")
        self._refusals: dict[tuple[str, int], Reply] = {}  # see memo.py

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        address = client_of(request, peer)
        if not address:
            return None
        enough, full_at = self._table.use(self._keys.of(address), now, self._price, self._depth)
        request.until_full = full_at - now
        return None if enough else self._refusal(full_at - now)

    def filter(self, request: Request, draft: Draft) -> None:
        if request.until_full >= 0 and draft.header("ratelimit") is None:
            draft.headers.extend(told(self._rate, request.until_full))

    def _refusal(self, until_full: int) -> Reply:
        fields = [("Retry-After", retry_after(self._rate, until_full)), *told(self._rate, until_full)]
        key = fields[0][1], until_full // 1_000_000_000
        found = self._refusals.get(key)
        if found is None:
            found = refusal_of(429, "too many requests from this address", *fields)
            remember(self._refusals, key, found)
        return found


class Concurrency:
    """Lets through so many requests at once (--limit-concurrency); `busy` tells how many there are."""

    __slots__ = ("_busy", "_most", "_refusal")

    def __init__(self, most: int, busy: Callable[[], int]) -> None:
        self._most = most
        self._busy = busy
        self._refusal = refusal_of(503, "too many requests at once")

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        return None if self._busy() < self._most else self._refusal
