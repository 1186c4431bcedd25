# Places of supervisors that somebody wants to see, and what each is called on the screen.

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

from bigtop.control import addresses
from bigtop.control.client.async_client import AsyncClient
from bigtop.control.client.client import Identity, Tunnel
from bigtop.record import Record

PATIENCE = 5.0  # seconds for an answer


class Place(Record):
    """One supervisor, and how to get there. `role`: commands are for somebody who may no more than that."""

    name: str
    endpoint: str
    identity: Identity | None = None
    tunnel: Tunnel | None = None
    role: str = ""

    def client(self, timeout: float | None = PATIENCE) -> AsyncClient:
        """UnreachableError and ConfigError where that can be told at once."""
        return AsyncClient(
            self.endpoint, timeout=timeout, identity=self.identity, tunnel=self.tunnel, role=self.role
        )


def find(words: Sequence[str], identity: Identity | None, tunnel: Tunnel | None) -> list[Place]:
    """Return the place of each endpoint, path or name; of none: all that run here, or the one that the
    environment names. Raises UnreachableError where there is nobody."""
    if not words:
        there = list(addresses.running().values())
        is_chosen = os.environ.get("BIGTOP_CTL_ENDPOINT") or os.environ.get("CIRCUSCTL_ENDPOINT")
        endpoints = there if len(there) > 1 and not is_chosen else [addresses.resolve(None)]
    else:
        endpoints = list(dict.fromkeys(map(addresses.resolve, words)))
    return [Place(name, where, identity, tunnel) for name, where in _named(endpoints)]


def _named(endpoints: Sequence[str]) -> list[tuple[str, str]]:
    names = Counter(map(short, endpoints))
    return [(short(one) if names[short(one)] == 1 else one, one) for one in endpoints]


def short(endpoint: str) -> str:
    """Return the name of the site for a unix socket, host and port otherwise."""
    scheme, _, place = endpoint.partition("://")
    return place.rpartition("/")[2].removesuffix(addresses.COMMANDS) if scheme == "ipc" else place
