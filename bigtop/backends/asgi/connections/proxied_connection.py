# One client of a balancer that names it in a PROXY header, which no other worker of the application can read.

from __future__ import annotations

from bigtop.backends.asgi.connections.routed_connection import RoutedConnection
from bigtop.backends.native.app_queues import ProxiedAddresses
from bigtop.http.interfaces.scope import Peer


class ProxiedConnection(RoutedConnection):
    """A connection that stays with its worker, between requests as well."""

    __slots__ = ()

    def learn(self, peer: Peer, proxied: ProxiedAddresses) -> None:
        """Take the client for what the header said."""
        self._peer = peer
        self.engine.policy = peer.policy
        self.proxied = proxied
