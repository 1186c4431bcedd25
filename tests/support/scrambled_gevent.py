# The native gevent server with the transport of scrambled.py: apart, since it needs gevent.

from __future__ import annotations

import socket
from collections.abc import Sequence

from bigtop.backends.base import Life
from bigtop.backends.native.transport.transport import TransportFactory
from bigtop.backends.wsgi.gevent import GeventBackend
from tests.support.scrambled import ScrambledTransport


class ScrambledGevent(GeventBackend):
    """The native gevent server, as nobody but our client understands it."""

    def transports(self, listeners: Sequence[socket.socket], life: Life) -> TransportFactory:
        return lambda client, _server: ScrambledTransport(client)
