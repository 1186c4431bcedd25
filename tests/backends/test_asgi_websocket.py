# WebSockets through the ASGI backend, with the `websockets` library and with raw frames.

from __future__ import annotations

import base64
import json
import os
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from bigtop.backends.serve_options import ServeOptions
from bigtop.http.limits import WebSocketLimits
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat
from tests.support.backend_server import BackendServer, Steps, eventually, in_time
from tests.support.wire import Client, request

APP = "tests.apps.asgi_basic:app"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455, 1.3
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def server(request: pytest.FixtureRequest) -> Iterator[BackendServer]:
    with BackendServer(APP, ServeOptions(loop=request.param), backend="asgi") as server:
        yield server


def dial(server: BackendServer, path: str = "/echo", **options: Any) -> ClientConnection:
    host, port = server.address
    return connect(f"ws://{host}:{port}{path}", proxy=None, open_timeout=60, **options)


def with_limits(*, fresh: bool = False, **limits: Any) -> BackendServer:
    options = ServeOptions(websocket=WebSocketLimits(**limits))
    return BackendServer(APP, options, backend="asgi", fresh=fresh)


def events(server: BackendServer) -> list[str]:
    with server.connect() as client:
        found = json.loads(client.get("/events").body)
    assert isinstance(found, list)
    return found


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """Return a client's frame, masked with zeros."""
    size = len(payload)
    length = struct.pack("!BH", 0xFE, size) if size > 125 else bytes([0x80 | size])
    return bytes([fin << 7 | rsv | opcode]) + length + bytes(4) + payload


# ---- the handshake


def test_the_handshake_by_the_letter(server: BackendServer) -> None:
    with server.connect() as client:
        client.send(request("/echo", *UPGRADE, f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Protocol: a, b"))
        answer = client.answer()
        assert (answer.status, answer["Upgrade"], answer["Connection"]) == (101, "websocket", "Upgrade")
        assert answer["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert (answer["Sec-WebSocket-Protocol"], answer["x-app"]) == ("a", "yes")
        assert answer["Sec-WebSocket-Extensions"] is None


def test_frames_that_come_with_the_handshake_are_not_lost(server: BackendServer) -> None:
    with server.connect() as client:
        client.send(request("/echo", *UPGRADE, f"Sec-WebSocket-Key: {KEY}") + frame(1, b"early"))
        assert client.answer().status == 101
        assert client._exactly(7) == b"\x81\x05early"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ((*UPGRADE, "Sec-WebSocket-Key: short"), 400),
        (UPGRADE, 400),
        ((*UPGRADE[:2], "Sec-WebSocket-Version: 8", f"Sec-WebSocket-Key: {KEY}"), 400),
    ],
)
def test_a_handshake_that_is_none_is_refused(
    server: BackendServer, fields: tuple[str, ...], status: int
) -> None:
    with server.connect() as client:
        assert client.get("/echo", *fields).status == status
        assert client.at_end()


@pytest.mark.parametrize(("path", "status"), [("/deny", 403), ("/denial", 401), ("/silent", 500)])
def test_an_application_may_deny(server: BackendServer, path: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as caught:
        dial(server, path)
    assert caught.value.response.status_code == status
    if path == "/denial":
        with server.connect() as client:
            assert client.get(path, *UPGRADE, f"Sec-WebSocket-Key: {KEY}").body == b"who are you?"


def test_only_some_origins_may_connect() -> None:
    with with_limits(origins=("https://a.example",)) as server:
        for origin in ("https://a.example", None):
            with dial(server, origin=origin) as socket:
                socket.send("x")
                assert socket.recv(timeout=30) == "x"
        with pytest.raises(InvalidStatus) as caught:
            dial(server, origin="https://b.example")
        assert caught.value.response.status_code == 403


# ---- messages


@pytest.mark.parametrize("compression", ["deflate", None])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 2_000_000])
def test_messages_of_all_sizes_come_back(server: BackendServer, compression: Any, size: int) -> None:
    with dial(server, compression=compression, max_size=None) as socket:
        for message in ("é" * (size // 2), os.urandom(size)):
            socket.send(message)
            assert socket.recv(timeout=30) == message


def test_a_message_in_pieces_is_one_message(server: BackendServer) -> None:
    with dial(server) as socket:
        socket.send(["one ", "two ", "three"])
        assert socket.recv(timeout=30) == "one two three"


def test_pings_are_answered_even_inside_a_message(server: BackendServer) -> None:
    with server.connect() as client:
        client.send(request("/echo", *UPGRADE, f"Sec-WebSocket-Key: {KEY}"))
        client.answer()
        client.send(frame(1, b"a", fin=False) + frame(9, b"ping") + frame(0, b"b"))
        assert client._exactly(10) == b"\x8a\x04ping\x81\x02ab"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (frame(1, b"\xff"), 1007),
        (frame(3), 1002),
        (frame(1, rsv=0x40), 1002),
        (frame(0, b"x"), 1002),
        (frame(9, fin=False), 1002),
        (b"\x81\x01x", 1002),
        (frame(8, b"\x03\xed"), 1002),
    ],
)
def test_what_makes_no_sense_closes(server: BackendServer, wrong: bytes, code: int) -> None:
    with server.connect() as client:
        client.send(request("/echo", *UPGRADE, f"Sec-WebSocket-Key: {KEY}"))
        client.answer()
        client.send(wrong)
        closing = client.rest()
        assert closing[0] == 0x88
        assert struct.unpack("!H", closing[2:4]) == (code,)


@pytest.mark.parametrize(
    ("last", "code"), [(frame(3), 1002), (frame(8, b"\x0f\xa0"), 4000), (b"\x81\x01x", 1002)]
)
def test_what_came_before_the_end_is_answered(server: BackendServer, last: bytes, code: int) -> None:
    with server.connect() as client:
        client.send(request("/echo", *UPGRADE, f"Sec-WebSocket-Key: {KEY}"))
        client.answer()
        client.send(frame(1, b"first") + last)
        assert client._exactly(7) == b"\x81\x05first"
        assert client._exactly(2)[0] == 0x88
        assert client._exactly(2) == struct.pack("!H", code)


def test_an_application_that_does_not_listen_ends_in_time() -> None:
    with BackendServer(APP, ServeOptions(), backend="asgi") as server, server.connect() as client:
        client.send(request("/lazy", *UPGRADE, f"Sec-WebSocket-Key: {KEY}"))
        client.answer()
        client.send(frame(1, b"unheard") + frame(8, b"\x0f\xa0"))
        assert client.rest().endswith(struct.pack("!BBH", 0x88, 2, 4000))


def test_a_message_that_is_too_long_closes() -> None:
    with with_limits(message=1000) as server:
        for compression in (None, "deflate"):
            with dial(server, compression=compression) as socket:
                socket.send("x" * 1000)
                assert socket.recv(timeout=30) == "x" * 1000
                socket.send("x" * 1001)
                with pytest.raises(ConnectionClosed):
                    socket.recv(timeout=30)
                assert socket.close_code == 1009


def test_a_bomb_does_not_go_off() -> None:
    with with_limits(fresh=True, message=1 << 20) as server, dial(server) as socket:
        before = server.rss()
        socket.send("x" * (128 << 20))
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=30)
        assert socket.close_code == 1009
        assert server.rss() - before < 64 << 20


def test_compression_can_be_turned_off() -> None:
    with with_limits(deflate=False) as server, dial(server) as socket:
        assert socket.protocol.extensions == []


# ---- flow


def test_the_application_is_held_back_by_a_slow_client(server: BackendServer) -> None:
    with Client(server.address, receive_buffer=4096) as client:
        client.send(request("/flood", *UPGRADE, f"Sec-WebSocket-Key: {KEY}"))
        assert client.answer().status == 101
        eventually(lambda: events(server)[-1:] != [] and events(server)[-1].startswith("sent "))
        seen: list[str] = []
        eventually(lambda: len(seen.append(str(events(server))) or set(seen[-5:])) == 1 and len(seen) > 5)
        assert events(server) != ["sent 399"]


def test_a_slow_application_holds_its_client_back() -> None:
    with with_limits(queue=4) as server, dial(server, "/lazy", compression=None) as socket:
        socket.socket.settimeout(0.5)
        assert _send_until_stuck(socket) < 1000


def _send_until_stuck(socket: ClientConnection) -> int:
    for sent in range(2000):
        try:
            socket.send(b"x" * 65536)
        except (TimeoutError, ConnectionClosed):
            return sent
    return 2000


def test_a_client_that_answers_no_ping_is_closed() -> None:
    with with_limits(ping_interval=0.2, ping_timeout=0.2) as server:
        with server.connect() as client:
            client.send(request("/echo", *UPGRADE, f"Sec-WebSocket-Key: {KEY}"))
            client.answer()
            assert client._exactly(3) == b"\x89\x011"
            closing = client._exactly(4)
            assert (closing[0], closing[2:]) == (0x88, struct.pack("!H", 1011))

        def live(step: Steps) -> None:
            with server.connect() as client:
                step()
                client.send(request("/echo", *UPGRADE, f"Sec-WebSocket-Key: {KEY}"))
                assert client.answer().status == 101
                step()
                for number in (b"1", b"2", b"3"):
                    assert client._exactly(3) == b"\x89\x01" + number
                    client.send(frame(10, number) + (frame(1, b"alive") if number == b"3" else b""))
                    step()
                assert client._exactly(7) == b"\x81\x05alive"

        in_time(2 * 0.2 + 0.2, live)


# ---- the end


def test_close_codes_reach_the_application(server: BackendServer) -> None:
    with dial(server) as socket:
        socket.close(4002, "done here")
    eventually(lambda: "closed 4002 done here" in events(server))
    with server.connect() as client:
        client.send(request("/echo", *UPGRADE, f"Sec-WebSocket-Key: {KEY}"))
        client.answer()
    eventually(lambda: "closed 1006" in events(server))


def test_an_application_may_close(server: BackendServer) -> None:
    with dial(server, "/close") as socket:
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=30)
        assert (socket.close_code, socket.close_reason) == (4001, "enough")
    eventually(lambda: "send after close" in events(server))


def test_a_failure_is_1011(server: BackendServer) -> None:
    with dial(server, "/broken") as socket:
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=30)
        assert socket.close_code == 1011
    assert "WebSocket /broken failed" in server.log()


def test_books_are_kept() -> None:
    options = ServeOptions(access_format="%(r)s %(s)s")
    with BackendServer(APP, options, backend="asgi") as server:
        with dial(server) as socket:
            socket.send("x")
            socket.recv()
            assert (server.word(Word.BUSY), server.word(Seat.CONNECTIONS)) == (1, 1)
            assert server.access_lines() == ["GET /echo HTTP/1.1 101"]
        eventually(lambda: server.word(Word.BUSY) == server.word(Seat.CONNECTIONS) == 0)
        assert base64.b64decode(KEY) == b"the sample nonce"
