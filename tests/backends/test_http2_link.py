# How much of an answer the link of the WSGI server to a client of HTTP/2 takes over.

from __future__ import annotations

import socket

from h2.config import H2Configuration
from h2.connection import H2Connection

from bigtop.backends.native.transport.transport import PlainTransport
from bigtop.backends.wsgi.http2.client_link import Http2Link
from bigtop.backends.wsgi.http2.link import SMALL
from bigtop.http.h2.connection import Http2Connection
from bigtop.http.h2.limits import Http2Limits
from bigtop.http.h2.response_heads import CONTINUE
from bigtop.http.limits import Limits


def test_small_pieces_are_taken_no_further_than_large_ones() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        client = H2Connection(H2Configuration(client_side=True))
        client.initiate_connection()
        client.send_headers(
            1, [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")], end_stream=True
        )
        spoken = Http2Connection(Limits(), Http2Limits(), None, websockets=False, now=1)
        link = Http2Link(PlainTransport(ours), spoken)
        assert len(spoken.feed(client.data_to_send(), 1)) == 1
        taken = link.put(1, CONTINUE, b"", ends=False, sends=False)
        for _ in range(1000):
            taken += link.put(1, b"", b"x" * 1000, ends=False, sends=True)
        assert 65_535 <= taken <= 65_535 + SMALL
