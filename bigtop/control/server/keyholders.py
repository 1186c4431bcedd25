# Keyholders: who is let in by a key, for as long as the key is known.
#
# Rule: a key that was taken away ends the connections of its holder within a second or so: a subscription
# would go on for ever.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import zmq

from bigtop.control.commands.base import Role
from bigtop.control.server.auth import Guard
from bigtop.control.server.client_acceptor import ClientRelay

# Seconds between two looks at the keys while anybody with a key is there.
PERIOD = 1.0


class Keyholders:
    """`relays` returns the connections that there are; without a `guard` everybody has the role `of_all`."""

    def __init__(
        self, guard: Guard | None, relays: Callable[[], Iterable[ClientRelay]], of_all: Role = Role.ADMIN
    ) -> None:
        self._guard = guard
        self.of_all = of_all
        self._relays = relays
        self._timer: asyncio.TimerHandle | None = None

    def role(self, client: ClientRelay | None, frame: zmq.Frame) -> Role | None:
        """Return what the sender of `frame` may, and remember whose connection it came by."""
        if self._guard is None:
            return self.of_all
        user = str(frame.get("User-Id"))
        if client is not None:
            client.user = user
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PERIOD, self._look)
        return self._guard.role(user)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        assert self._guard is not None
        self._timer = None
        keyed = [relay for relay in self._relays() if relay.user]
        roles = self._guard.roles() if keyed else {}
        for relay in keyed:
            if roles.get(relay.user) is None:
                relay.refuse("its key is not known any more")
        if keyed:
            self._timer = asyncio.get_running_loop().call_later(PERIOD, self._look)
