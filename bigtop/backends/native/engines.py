# Engines of new connections: what is read of a client, and what stands before its first request.
#
# A peer in --proxy-allow-ips begins with a PROXY header, which names the client; where several applications
# answer on one socket, requests for the others are left as they are.

from __future__ import annotations

from collections.abc import Callable, Container

from bigtop.backends.serve_options import ServeOptions
from bigtop.http.clients.forwarded import Trust
from bigtop.http.clients.peer import BasePeer
from bigtop.http.clients.proxyprotocol import Address, ProxiedEngine
from bigtop.http.engine import Engine
from bigtop.http.paths.routes import RoutedEngine, Routes


class Engines:
    """Makes them. `routes` tell whose a request is, None: there is one application."""

    def __init__(self, options: ServeOptions, routes: Routes | None) -> None:
        self._limits = options.limits
        self._routes = routes
        self._version = options.balancers.protocol
        self._balancers = Trust(options.balancers.allow_ips) if options.wants_balancers else None

    def is_balancer(self, peer: BasePeer) -> bool:
        """Whether a peer begins with a PROXY header."""
        return self._balancers is not None and peer.address in self._balancers

    @property
    def has_routes(self) -> bool:
        return self._routes is not None

    def plain(self, peer: BasePeer, upgrades: Container[bytes]) -> Engine:
        """Return the engine of a client that may go over to the protocols in `upgrades`."""
        if self._routes is not None:
            return self.routed(peer, upgrades)
        return Engine(self._limits, upgrades, peer.policy)

    def routed(self, peer: BasePeer, upgrades: Container[bytes]) -> RoutedEngine:
        return RoutedEngine(self._limits, upgrades, self._routes, peer.policy)

    def proxied(
        self, peer: BasePeer, upgrades: Container[bytes], learn: Callable[[Address, Address], None]
    ) -> ProxiedEngine:
        """Return the engine of a balancer; `learn` is told where its client comes from and went to."""
        return ProxiedEngine(self._limits, self._version, learn, upgrades, self._routes, peer.policy)
