# Fairness of the native servers while one client floods them over HTTP/2: others have their turn.

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from bigtop.backends.serve_options import ServeOptions
from bigtop.backends.wsgi.http2.arrivals import AT_ONCE
from bigtop.http.h2.error_codes import ENHANCE_YOUR_CALM
from bigtop.http.h2.frames import DATA, END_STREAM, PING
from bigtop.http.h2.limits import FRAMES_AT_ONCE, Http2Limits
from tests.http.h2.corpus import data
from tests.http.h2.peers import OPENING, POST, Pairs, frame, frames_of, request
from tests.support.backend_server import BackendServer, stopped

APPS = {
    "wsgi": "tests.apps.http2:app",
    "gevent": "tests.apps.http2:app",
    "asgi": "tests.apps.http2_asgi:app",
}
ECHO: Pairs = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/echo"), POST[-1]]
HELLO: Pairs = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/hello"), POST[-1]]
LAST = frame(PING, 0, 0, b"the last")
MANY = 4000


@pytest.fixture(scope="module", params=APPS)
def server(request: pytest.FixtureRequest) -> Iterator[BackendServer]:
    with BackendServer(APPS[request.param], ServeOptions(), backend=request.param) as running:
        yield running


class Flood:
    """A client that sends what it likes."""

    def __init__(self, server: BackendServer) -> None:
        self._socket = socket.create_connection(server.address, 30)
        self.frames: list[tuple[int, int, int, bytes]] = []
        self.send(OPENING)

    def __enter__(self) -> Flood:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def until(self, wanted: bytes) -> bytes:
        """Return all that came, when this has."""
        came = self.receive()
        while wanted not in came:
            came += self.receive()
        return came

    def receive(self) -> bytes:
        came = self._socket.recv(65536)
        assert came, "the connection ended"
        return came


@pytest.mark.parametrize(
    "flood",
    [
        request(1, ECHO, ends=False) + data(1, b"x") * MANY,
        b"".join(request(n, HELLO) + frame(3, 0, n, bytes(4)) for n in range(1, 380, 2)),
        frame(PING, 0, 0, bytes(8)) * 900,
    ],
    ids=["tiny", "reset", "pings"],
)
def test_another_client_is_answered_before_all_of_a_flood_was_looked_at(
    server: BackendServer, flood: bytes
) -> None:
    assert len(flood) > 9 * FRAMES_AT_ONCE
    with Flood(server) as client, server.connect() as other:
        assert other.get("/hello").status == 200
        client.send(frame(PING, 0, 0, b"are here"))
        client.until(b"are here")
        with stopped(server):
            client.send(flood + LAST)
            other.send(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        client.until(b"the last")
        other.socket.setblocking(False)
        assert other.socket.recv(65536).startswith(b"HTTP/1.1 200"), "it was there already"


@pytest.mark.parametrize("seconds", ["0.002", "0.02"])
def test_calls_of_one_connection_take_turns_with_those_of_others(server: BackendServer, seconds: str) -> None:
    slow: Pairs = [*HELLO[:2], (b":path", b"/sleep/" + seconds.encode()), HELLO[3]]
    with Flood(server) as client, server.connect() as other:
        assert other.get("/hello").status == 200
        with stopped(server):
            client.send(b"".join(request(n, slow) for n in range(1, 2 * AT_ONCE, 2)))
            other.send(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        came, ended = b"", 0
        while ended < 2:
            came += client.receive()
            ended = sum(kind == DATA and flags & END_STREAM for kind, flags, *_ in frames_of(came))
        other.socket.setblocking(False)
        assert other.socket.recv(65536).startswith(b"HTTP/1.1 200"), "it was there already"


def test_what_waits_for_another_turn_is_not_forgotten(server: BackendServer) -> None:
    with Flood(server) as client:
        client.send(request(1, ECHO, ends=False) + data(1, b"x") * MANY + data(1, b"", END_STREAM) + LAST)
        client.send(request(3, HELLO))
        came = client.until(b"hello\n")
        while b"x" * MANY not in b"".join(each[3] for each in frames_of(came) if each[0] == DATA):
            came += client.until(b"x")


def test_who_sends_a_body_by_the_byte_is_sent_away(server: BackendServer) -> None:
    with Flood(server) as client, server.connect() as other:
        client.send(request(1, ECHO, ends=False) + data(1, b"x") * (Http2Limits().small_data * 4))
        came = client.until(b"too many frames that bring a few bytes")
        code = came[came.index(b"too many") - 4 : came.index(b"too many")]
        assert int.from_bytes(code, "big") == ENHANCE_YOUR_CALM
        assert other.get("/hello").status == 200
