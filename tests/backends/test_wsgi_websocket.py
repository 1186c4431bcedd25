# WebSockets of WSGI applications: the application takes the socket, in a thread or a greenlet of its own.

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from bigtop.backends.serve_options import ServeOptions
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat
from tests.support.backend_server import BackendServer, eventually
from tests.support.certificates import ring
from tests.support.secure_websocket import SecureWebSocket
from tests.support.site import Site, until
from tests.support.tls_client import TlsClient
from tests.support.wire import UPGRADE, Client, request

APP = "tests.apps.sock_site:app"
ACCESS = '"%(r)s" %(s)s %(b)s'
KINDS = {
    "threads": ("wsgi", 4, False),
    "gevent": ("gevent", 1, False),
    "threads-tls": ("wsgi", 4, True),
    "gevent-tls": ("gevent", 1, True),
}


def masked_text(text: bytes) -> bytes:
    """Return a text frame of a client, shorter than 126 bytes, under a mask of zeros (RFC 6455, 5.2)."""
    return bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text


def serve(kind: str) -> BackendServer:
    backend, threads, tls = KINDS[kind]
    options = ServeOptions(threads=threads, access_format=ACCESS)
    return BackendServer(APP, options, backend=backend, keyring=ring() if tls else None)


def dial(server: BackendServer, path: str = "/echo") -> ClientConnection | SecureWebSocket:
    port = server.address[1]
    if server.is_encrypted:
        return SecureWebSocket(port, path)
    return connect(f"ws://127.0.0.1:{port}{path}", proxy=None, open_timeout=60)


def client_of(server: BackendServer) -> Client:
    return TlsClient(server.address) if server.is_encrypted else server.connect(30)


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[BackendServer]:
    with serve(request.param) as server:
        yield server


@pytest.mark.case("F1")
def test_messages_go_to_and_fro_and_others_are_answered(server: BackendServer) -> None:
    before = server.word(Seat.CONNECTIONS)
    with dial(server) as first, dial(server) as second:
        for message in ("a", "b" * 100_000, b"c" * 70_000):
            for client in (first, second):
                client.send(message)
                assert client.recv(30) == message
        with client_of(server) as client:
            assert client.get("/").status == 200
        eventually(lambda: [one.path for one in server.scoreboard.running()] == ["/echo", "/echo"])
        first.send("enough")
        with pytest.raises(ConnectionClosed):
            first.recv(30)
    eventually(lambda: server.word(Word.BUSY) == 0)
    eventually(lambda: server.word(Seat.CONNECTIONS) == before)
    eventually(lambda: server.access_lines().count('"GET /echo HTTP/1.1" 101 -') == 2)


@pytest.mark.case("F1")
def test_what_fails_behind_the_handshake_gets_no_http(server: BackendServer) -> None:
    with dial(server, "/broken") as client:
        client.send("hello")
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(30)
        assert caught.value.sent is None or caught.value.sent.code != 1002, "an error page is no frame"
    eventually(lambda: "after hello" in server.log())
    eventually(lambda: server.word(Word.BUSY) == 0)


@pytest.mark.case("F1")
def test_werkzeugs_way_to_leave_is_no_failure(server: BackendServer) -> None:
    for path in ("/raise/late", "/raise/refused"):
        with dial(server, path) as client:
            client.send("hello")
            assert client.recv(30) == "hello"
            with pytest.raises(ConnectionClosed) as caught:
                client.recv(30)
            assert caught.value.sent is None or caught.value.sent.code != 1002, "an error page is no frame"
    eventually(lambda: "GET /raise/refused failed" in server.log())
    assert "GET /raise/late failed" not in server.log()
    with pytest.raises(InvalidStatus, match="500"):
        dial(server, "/raise/early").close()
    assert "GET /raise/early failed" in server.log()
    eventually(lambda: server.access_lines().count('"GET /raise/late HTTP/1.1" 101 -') == 1)


@pytest.mark.case("F1")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["/echo", "/quiet"])
def test_a_drain_ends_them_with_1012(kind: str, path: str) -> None:
    with serve(kind) as server, dial(server, path) as client:
        client.send("hello")
        if path == "/echo":
            assert client.recv(30) == "hello"
        server.drain()
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(30)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012
        assert server.wait() == 0


@pytest.mark.parametrize("kind", ["threads", "gevent"])
def test_a_drain_asks_one_after_the_other(kind: str) -> None:
    with serve(kind) as server, ExitStack() as opened:
        clients = [opened.enter_context(dial(server, "/echo")) for _ in range(3)]
        for client in clients:
            client.send("hello")
            assert client.recv(30) == "hello"
        server.drain()
        for client in clients:
            with pytest.raises(ConnectionClosed) as caught:
                client.recv(30)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
        assert server.wait() == 0


@pytest.mark.case("F1")
@pytest.mark.parametrize("kind", KINDS)
def test_a_drain_in_the_middle_of_a_message_says_it_behind_that(kind: str) -> None:
    size = 20_000_000  # more than the kernel's buffers hold
    with serve(kind) as server, client_of(server) as client:
        client.send(request("/large", *UPGRADE))
        assert client.answer(head_only=True).status == 101
        client.send(masked_text(b"%d" % size))
        eventually(lambda: client.is_answered())
        server.drain()
        frames = client.rest()

        assert frames[10:] == b"x" * size + b"\x88\x02" + (1012).to_bytes(2, "big")
        assert server.wait() == 0


@pytest.mark.case("F1")
def test_timeout_is_no_concern_of_an_open_one() -> None:
    with Site(APP, "--threads", "4", "--timeout", "1", "--control", "off") as site:
        [worker] = site.workers()
        with connect(f"ws://127.0.0.1:{site.port}/echo", proxy=None, open_timeout=60) as client:
            client.send("early")
            assert client.recv(30) == "early"
            with connect(f"ws://127.0.0.1:{site.port}/echo", proxy=None, open_timeout=60) as other:
                with pytest.raises(TimeoutError):
                    other.recv(3)  # three times what a call may take
                client.send("late")
                assert client.recv(30) == "late"
        assert list(site.workers()) == [worker]
        until(lambda: site.total(Word.BUSY) == 0, "the end of both calls")
