# The native gevent server with the transport of scrambled.py: apart, since it needs gevent.

from __future__ import annotations

import socket

from bigtop.backends.native.transport import Transport
from bigtop.backends.wsgi.gevent import GeventBackend
from bigtop.http.peer import Address
from tests.support.scrambled import ScrambledTransport


class ScrambledGevent(GeventBackend):
    """The native gevent server, as nobody but our client understands it."""

    def transport_of(self, client: socket.socket, server: Address) -> Transport:
        return ScrambledTransport(client)
