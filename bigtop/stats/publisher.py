# Publisher of figures, to whoever subscribes: in Circus' format under stat., and more under names of ours.
#
# Topics: stat.NAME.PID, stat.NAME, stat.circus.PID, stat.circus, stat.sockets.FD, stat.sockets, which Circus'
# clients know; http.NAME; history.NAME, which is sent once to each who subscribes to it. Nothing of ours is
# below stat.: Circus' clients take all of that for processes, and fail where it is none.

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from functools import lru_cache

import zmq

from bigtop.control import events
from bigtop.control.server import subscriptions
from bigtop.control.server.auth import Guard
from bigtop.control.server.client_acceptor import ClientAcceptor
from bigtop.control.server.endpoint_security import Curve
from bigtop.control.server.keyholders import Keyholders
from bigtop.control.server.subscriptions import Subscriptions

STAT = b"stat."
SOCKETS = b"stat.sockets"
HTTP = b"http."
HISTORY = b"history."

# Messages that wait for one slow subscriber: a few looks at a thousand processes.
_QUEUE = 20_000


class Publisher:
    """Lets clients in at `listener`, on the running event loop. `changed` is told of subscriptions. Raises
    ConfigError for keys that cannot be read."""

    def __init__(
        self, listener: socket.socket, curve: Curve | None, changed: Callable[[bytes, bool], None]
    ) -> None:
        self._due: list[tuple[bytes, bytes]] = []
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        guard = None if curve is None else Guard(self._context, curve)
        xpub = self._context.socket(zmq.XPUB)
        xpub.setsockopt(zmq.MAXMSGSIZE, subscriptions.LIMITS.largest)
        xpub.setsockopt(zmq.SNDHWM, _QUEUE)
        if guard is not None:
            guard.protect(xpub)
        acceptor = ClientAcceptor(listener, xpub, subscriptions.LIMITS)
        self._keyholders = Keyholders(guard, acceptor.relays.values)
        self.subscriptions = Subscriptions(
            xpub, acceptor, lambda client, frame: self._keyholders.role(client, frame) is not None, changed
        )

    def publish(
        self, kind: bytes, name: str, figure: object, part: int | None = None, text: str = ""
    ) -> None:
        """Send it with what else there is when flush() is called, if anybody wants it; `text` is the figure
        in JSON, if that is there already."""
        topic = topic_of(kind, name)
        if part is not None:
            topic += b".%d" % part
        if self.subscriptions.wants(topic):
            self._due.append((topic, (text or json.dumps(figure)).encode()))

    def flush(self) -> None:
        # In one go: ZeroMQ then makes large writes of many messages, and wakes up its thread for few of them.
        due, self._due = self._due, []
        for message in due:
            self.subscriptions.send(message)


def topic_of(kind: bytes, name: str) -> bytes:
    return kind + _topic_word(name)


@lru_cache(1000)
def _topic_word(name: str) -> bytes:
    return events.topic_word(name).encode()
