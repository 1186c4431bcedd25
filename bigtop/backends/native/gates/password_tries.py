# Password tries: how many wrong passwords a client's address may try, in all workers of an application.
#
# Rule 1: only wrong ones count, and each one once a minute: a browser that shows the same wrong password with
# every request does not guess.
# Rule 2: an address that has used them up has no further password tried. Who is known to be right is let in.
# Rule 3: as with rates, clients behind a trusted proxy that does not say who they are have no address.

from __future__ import annotations

from typing import Final

from bigtop.backends.native.handlers.client_limits import AddressKeys
from bigtop.http.clients.peer import BasePeer
from bigtop.http.declarations import Rate
from bigtop.http.gates.client import client_of
from bigtop.http.gates.rates import depth_of, price_of, retry_after
from bigtop.http.handlers import Reply, refusal_of
from bigtop.http.messages import Request
from bigtop.ipc.client_table import ClientTable
from bigtop.log import logger as get_logger

log = get_logger("bigtop.backend")
TRIES: Final = Rate(10, 60)  # requests, seconds


class PasswordTries:
    """Counts wrong passwords of addresses."""

    __slots__ = ("_depth", "_keys", "_price", "_table")

    def __init__(self, table: ClientTable) -> None:
        self._table = table
        self._keys = AddressKeys(table, "passwords")
        self._price = price_of(TRIES)
        self._depth = depth_of(TRIES)

    def refusal(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        """Return what says that no password is tried for this client now, None if one is."""
        address = client_of(request, peer)
        if not address:
            return None
        _, full_at = self._table.use(self._keys.of(address), now, 0, self._depth)
        until_full = full_at - now
        if until_full + self._price <= self._depth:
            return None
        again = ("Retry-After", retry_after(TRIES, until_full))
        return refusal_of(429, "too many wrong passwords from this address", again, closes=False)

    def wrong(self, request: Request, peer: BasePeer, now: int) -> None:
        """Count a wrong one."""
        address = client_of(request, peer)
        if not address:
            return
        _, full_at = self._table.use(self._keys.of(address), now, self._price, self._depth)
        if full_at - now + self._price > self._depth:
            log.warning("%s has tried too many wrong passwords: it has to wait", address)
