# Routes: whose request it is, where several applications answer on one socket.
#
# Rule 1: the longest path wins, and whole segments count: /api is not /apiary. The path is what applications
# see: without encoding. Rule 2: a route with the host of the request goes before all routes without a host.
# Rule 3: the host is what stands in the request, whatever a proxy says about it: it has decided by that too.
# Rule 4: bytes of others are not looked at beyond the head, so what limits bodies is their application's.

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from functools import lru_cache
from typing import Final

from bigtop.errors import ProtocolError
from bigtop.http.declarations import Route
from bigtop.http.engine import ELSEWHERE, Engine
from bigtop.http.interfaces.wsgi import path_of
from bigtop.http.limits import Limits
from bigtop.http.memo import LONGEST
from bigtop.http.messages import Event, Request
from bigtop.http.paths.paths import is_below
from bigtop.http.policy import Policy

_KEPT: Final = 512
_ELSEWHERE: Final = "another application answers this request, on a connection of its own"
_PORT: Final = re.compile(r":[0-9]*$")


class Routes:
    """Which application, by its number, is to answer which requests; `mine` is the one that asks."""

    def __init__(self, table: Sequence[tuple[Route, int]], mine: int) -> None:
        self.mine = mine
        self._hosts = frozenset(route.host for route, _owner in table if route.host)
        self._table = sorted(table, key=lambda entry: len(entry[0].path), reverse=True)
        self._known = lru_cache(maxsize=_KEPT)(self._find)

    def owner(self, request: Request) -> int:
        """Return whose `request` is. ProtocolError: nobody's."""
        host = self._host(request) if self._hosts else ""
        target = request.target
        found = (self._known if len(target) <= LONGEST else self._find)(host, target)
        if found is None:
            raise ProtocolError(404, "no application answers here")
        return found

    @property
    def shares_hosts(self) -> bool:
        """Whether requests for one host are for several applications: then a connection cannot be for one."""
        return any(len(self._owners(host)) > 1 for host in (*self._hosts, ""))

    def owner_of_name(self, name: str) -> int:
        """Return the application, if it is another one, that all requests for a host are for; -1 for none."""
        owners = self._owners(name if name in self._hosts else "")
        return owners.pop() if len(owners) == 1 and self.mine not in owners else -1

    def _owners(self, host: str) -> set[int]:
        """Return the applications that requests for a host are for, "" for all that have no routes."""
        owners = set()
        for wanted in (host, "") if host else ("",):
            for route, owner in self._table:
                if route.host == wanted:
                    owners.add(owner)
                    if not route.path:  # what is not below another path is for this one
                        return owners
        return owners

    def _host(self, request: Request) -> str:
        """Return the host of a request, if there are routes for it."""
        for name, value in request.headers:
            if name.lower() == b"host":
                host = _PORT.sub("", value.decode("latin-1").lower()).removesuffix(".")
                return host if host in self._hosts else ""
        return ""

    def _find(self, host: str, target: bytes) -> int | None:
        path = path_of(target)
        for wanted in (host, "") if host else ("",):
            for route, owner in self._table:
                if route.host == wanted and is_below(path, route.path):
                    return owner
        return None


def elsewhere(routes: Routes, request: Request) -> ProtocolError | None:
    """Return why a request is not answered where it came, None if it is. For connections of HTTP/2, which
    cannot be handed on: other requests are under way on them."""
    try:
        return None if routes.owner(request) == routes.mine else ProtocolError(421, _ELSEWHERE)
    except ProtocolError as error:
        return error


class RoutedEngine(Engine):
    """An engine that comes to rest (ELSEWHERE) before a request that is another application's: the one with
    the number `owner`. Its bytes are to be fetched with take_rest()."""

    __slots__ = ("_routes", "owner")

    def __init__(
        self,
        limits: Limits,
        upgrades: Container[bytes] = (),
        routes: Routes | None = None,
        policy: Policy | None = None,
    ) -> None:
        super().__init__(limits, upgrades, policy)
        self._routes = routes
        self.owner = -1

    def _take(self, request: Request, events: list[Event]) -> bool:
        routes = self._routes
        if routes is not None:
            self.owner = routes.owner(request)
            if self.owner != routes.mine:
                self.phase = ELSEWHERE
                return False
        return super()._take(request, events)

    @property
    def routes(self) -> Routes | None:
        return self._routes

    def leave_to(self, owner: int) -> None:
        """Come to rest before anything was fed: the client has named the application `owner` otherwise."""
        self.owner = owner
        self.phase = ELSEWHERE

    def is_foreign(self, data: bytes) -> bool:
        """Whether the first request in `data` is another application's. Nothing is fed by that."""
        probe = RoutedEngine(self._limits, routes=self._routes)
        return not probe.feed(data) and probe.phase is ELSEWHERE
