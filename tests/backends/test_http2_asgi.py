# What only the ASGI server does over HTTP/2: scopes, trailers, WebSockets on streams (RFC 8441), files by
# message; and what it does in a way of its own: holding back, noticing, ending. The rest is in test_http2.py.

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode

from bigtop.backends.serve_options import ServeOptions
from bigtop.http.declarations import Mount
from bigtop.http.h2.error_codes import INTERNAL_ERROR
from bigtop.http.limits import Limits
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat
from tests.support.backend_server import BackendServer, eventually
from tests.support.http2_client import Http2Client

APP = "tests.apps.http2_asgi:app"
LOGGED = ServeOptions(access_format="%(m)s %(U)s %(H)s %(s)s %(B)s")


def server(options: ServeOptions = LOGGED) -> BackendServer:
    return BackendServer(APP, options, backend="asgi")


@pytest.fixture(scope="module")
def shared() -> Iterator[BackendServer]:
    with server() as running:
        yield running


@pytest.fixture
def client(shared: BackendServer) -> Iterator[Http2Client]:
    with Http2Client(shared.address) as connected:
        yield connected


def test_what_an_application_is_told(client: Http2Client) -> None:
    scope = json.loads(client.get("/scope?q=1", headers=[("cookie", "a=1"), ("cookie", "b=2")]).body)
    assert (scope["http_version"], scope["method"], scope["scheme"]) == ("2", "GET", "http")
    assert ["host", "localhost"] in scope["headers"]
    assert ["cookie", "a=1; b=2"] in scope["headers"]
    assert not any(name.startswith(":") for name, _ in scope["headers"])
    assert "http.response.trailers" in scope["extensions"]


def test_trailers(client: Http2Client) -> None:
    answer = client.get("/trailers")
    assert (answer.status, answer.body, answer.ended) == (200, b"body", True)
    assert answer.trailers == [("x-sum", "1"), ("x-sum", "2")]


def test_a_head_does_not_wait_for_a_body(shared: BackendServer, client: Http2Client) -> None:
    gate = shared.gate("")
    late = client.ask(f"/late?{gate.target}")
    client.until(lambda: client.answers[late].status == 200)
    gate.open()
    assert client.wait(late).body == b"late"


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_files_by_message(client: Http2Client, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(250)) * (size // 250) + b"x" * (size % 250))
    streams = [client.ask(f"/file/{path}") for _ in range(3)]
    assert all(client.wait(stream).body == path.read_bytes() for stream in streams)


def test_static_files(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(range(256)) * 8192)
    options = ServeOptions(static=(Mount("/static/", str(tmp_path)),))
    with server(options) as running, Http2Client(running.address) as client:
        streams = [client.ask("/static/large") for _ in range(3)]
        assert all(client.wait(stream).body == (tmp_path / "large").read_bytes() for stream in streams)
        assert client.get("/static/large", headers=[("range", "bytes=256-511")]).body == bytes(range(256))
        parts = client.get("/static/large", headers=[("range", "bytes=256-511,1000-300000")])
        assert parts.ended
        assert len(parts.body) == int(parts.header("content-length") or 0)
        assert parts.body.count(b"Content-Range: bytes") == 2


def test_a_file_that_becomes_shorter_costs_its_stream(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3_000_000)
    with server() as running, Http2Client(running.address, reads=False) as client:
        short = client.ask(f"/file/{path}")
        client.until(lambda: len(client.answers[short].body) == 65_535)
        os.truncate(path, 70_000)
        client.spoken.increment_flow_control_window(1 << 20)
        client.spoken.increment_flow_control_window(1 << 20, short)
        client.flush()
        assert client.wait(short).reset == INTERNAL_ERROR
        assert client.get("/hello").body == b"hello\n"
        eventually(lambda: running.word(Word.BUSY) == 0, what="nothing runs")


# ---- WebSockets


class Tunnel:
    """A WebSocket on a stream of `client`."""

    def __init__(self, client: Http2Client, path: str, protocols: str = "") -> None:
        self._client = client
        fields = [("sec-websocket-version", "13"), ("origin", "http://localhost")]
        if protocols:
            fields.append(("sec-websocket-protocol", protocols))
        self.stream = client.connect(path, "websocket", fields)
        self.answer = client.answers[self.stream]
        self._frames = FrameProtocol(client=True, extensions=[])
        self._read = 0

    def send(self, payload: str | bytes) -> None:
        self._client.send(self.stream, self._frames.send_data(payload), ends=False)

    def close(self, code: int) -> None:
        self._client.send(self.stream, self._frames.close(CloseReason(code)), ends=False)

    def next(self) -> tuple[Opcode, object]:
        """Return the next frame, and what it says."""
        while True:
            for frame in self._frames.received_frames():
                return frame.opcode, frame.payload
            self._client.until(lambda: len(self.answer.body) > self._read)
            self._frames.receive_bytes(self.answer.body[self._read :])
            self._read = len(self.answer.body)


def test_websockets_beside_requests(shared: BackendServer, client: Http2Client) -> None:
    one, two = Tunnel(client, "/one", "chat, talk"), Tunnel(client, "/two")
    assert one.next() == two.next() == (Opcode.TEXT, "2 ws")
    assert (one.answer.status, one.answer.header("sec-websocket-protocol")) == (200, "chat")
    assert one.answer.header("sec-websocket-accept") is one.answer.header("connection") is None
    one.send("to one")
    two.send(b"to two" * 100_000)
    assert client.get("/hello").body == b"hello\n"
    assert one.next() == (Opcode.TEXT, "to one")
    received = b""
    while len(received) < 600_000:
        _, piece = two.next()
        received += bytes(piece)  # type: ignore[call-overload]
    assert received == b"to two" * 100_000
    one.send("bye")
    assert one.next() == (Opcode.CLOSE, (1001, "bye"))
    one.close(1001)
    client.until(lambda: one.answer.ended)
    two.close(1001)
    assert two.next() == (Opcode.CLOSE, (1001, ""))
    eventually(lambda: json.loads(client.get("/left").body).get("code") == 1001, what="it is told of the end")
    assert any(line.startswith("CONNECT /one HTTP/2.0 200") for line in shared.access_lines())


@pytest.mark.parametrize(("path", "status"), [("/denied", 401), ("/closed", 403)])
def test_websockets_that_are_denied(client: Http2Client, path: str, status: int) -> None:
    tunnel = Tunnel(client, path)
    client.until(lambda: tunnel.answer.ended)
    assert tunnel.answer.status == status
    assert client.get("/hello").status == 200


def test_a_websocket_whose_client_resets_it_is_over(shared: BackendServer, client: Http2Client) -> None:
    before = json.loads(client.get("/left").body)["closed"]
    tunnel = Tunnel(client, "/one")
    tunnel.next()
    client.reset(tunnel.stream)
    eventually(lambda: json.loads(client.get("/left").body)["closed"] == before + 1, what="its end is told")
    assert json.loads(client.get("/left").body)["code"] == 1006


def test_a_websocket_may_be_read_slowly() -> None:
    options = ServeOptions(limits=Limits(send_timeout=3.0))
    with server(options) as running, Http2Client(running.address, reads=False) as client:
        slow = Tunnel(client, "/slow")
        slow.next()
        client.spoken.increment_flow_control_window(10 << 20)
        slow.send(b"x" * 250_000)
        end = time.monotonic() + 4.5
        while time.monotonic() < end:  # a part of it now and then
            client.spoken.increment_flow_control_window(1000, slow.stream)
            client.ping()
            select.select([client.socket], [], [], 0.1)
        client.spoken.increment_flow_control_window(1 << 20, slow.stream)
        client.flush()
        client.until(lambda: len(slow.answer.body) > 250_000)


def test_all_websockets_of_few_connections_are_asked_in_time() -> None:
    """They take their turns, not their connections."""
    with server() as running, ExitStack() as opened:
        clients = [opened.enter_context(Http2Client(running.address)) for _ in range(5)]
        tunnels = [Tunnel(client, "/one") for client in clients for _ in range(90)]
        for tunnel in tunnels:
            tunnel.next()
        running.drain(2.0)  # one each 5 ms would take longer
        for tunnel in tunnels:
            assert tunnel.next() == (Opcode.CLOSE, (1012, ""))


def test_a_drain_asks_websockets_to_come_again() -> None:
    with server() as running, Http2Client(running.address) as client:
        tunnel = Tunnel(client, "/one")
        tunnel.next()
        running.drain()
        assert tunnel.next() == (Opcode.CLOSE, (1012, ""))
        tunnel.close(1012)
        client.read_to_end()
        assert client.goaways[0] == (1 << 31) - 1
        client.socket.close()
        assert running.wait() == 0


def test_what_comes_of_websockets_is_counted_once() -> None:
    with server() as running, Http2Client(running.address) as client:
        tunnel = Tunnel(client, "/one")
        tunnel.next()
        before = running.word(Word.BYTES_IN)
        tunnel.send(b"x" * 50_000)
        received = 0
        while received < 50_000:
            received += len(bytes(tunnel.next()[1]))  # type: ignore[call-overload]
        eventually(lambda: running.word(Word.BYTES_IN) - before >= 50_000, what="it is counted")
        assert running.word(Word.BYTES_IN) - before < 75_000


# ---- slow and absent clients


def test_a_call_is_held_back_by_its_client_and_told_of_its_leaving() -> None:
    limits = Limits(send_memory=100_000)
    with server(ServeOptions(limits=limits)) as running, Http2Client(running.address, reads=False) as client:
        endless = client.ask("/endless")
        client.until(lambda: len(client.answers[endless].body) == 65_535)
        assert running.rss() < 100 << 20
        client.spoken.increment_flow_control_window(300_000)
        client.spoken.increment_flow_control_window(200_000, endless)
        client.flush()
        client.until(lambda: len(client.answers[endless].body) == 265_535)
        client.reset(endless)
        eventually(lambda: json.loads(client.get("/left").body)["closed"] == 1, what="the call is over")


def test_a_body_is_read_no_faster_than_the_application_takes_it() -> None:
    with server() as running, Http2Client(running.address) as client:
        gate = running.gate()
        held = client.ask(gate.target, method="POST", ends=False)
        eventually(lambda: gate.entered() == 1, what="the call is inside the application")
        sent = 0
        while room := client.spoken.local_flow_control_window(held):
            client.send(held, b"b" * min(room, 16384), ends=False)
            sent += min(room, 16384)
            client.ping()
        assert sent == 262_144, "what nobody took is not credited"
        assert client.get("/count", method="POST", body=b"b" * 2_000_000).body == b"2000000"
        gate.open()
        assert client.wait(held).status == 200


def test_bodies_that_were_taken_leave_room_for_others() -> None:
    with server() as running, Http2Client(running.address) as client:
        before, behind = running.gate(""), running.gate("")
        path, body = f"/taken?{before.target}&{behind.target}", b"b" * 250_000
        held = [client.ask(path, method="POST", body=body) for _ in range(4)]
        eventually(lambda: before.entered() == 4, what="all are inside the application")
        client.ping()  # and all bodies are there: that is all but the window of the connection
        before.open()
        eventually(lambda: behind.entered() == 4, what="all have taken their bodies")
        assert client.get("/count", method="POST", body=body).body == b"250000"
        behind.open()
        assert all(client.wait(stream).body == b"taken" for stream in held)


def test_a_file_whose_sending_was_cancelled_is_sent_no_further(tmp_path: Path) -> None:
    for name in ("public", "secret"):
        (tmp_path / name).write_bytes(name[0].encode() * 1_000_000)
    with server() as running, Http2Client(running.address, reads=False) as client:
        stream = client.ask(f"/cancelled?{tmp_path}/public&{tmp_path}/secret")
        client.spoken.increment_flow_control_window(2 << 20)
        client.until(lambda: client.answers[stream].body or client.answers[stream].reset is not None)
        eventually(lambda: "second" in json.loads(client.get("/left").body), what="the other one is open")
        if client.answers[stream].reset is None:
            client.spoken.increment_flow_control_window(2 << 20, stream)
            client.flush()
        answer = client.wait(stream)
        assert answer.reset == INTERNAL_ERROR
        assert b"s" not in answer.body


def test_connections_that_break_leave_nothing() -> None:
    with server() as running:
        gate = running.gate()
        with Http2Client(running.address) as client:
            for _ in range(3):
                client.ask(gate.target)
            client.ask("/echo", method="POST", ends=False)
            Tunnel(client, "/one").next()
            eventually(lambda: gate.entered() == 3, what="the calls are inside the application")
        eventually(lambda: running.word(Seat.CONNECTIONS) == 0, what="the connection is closed")
        gate.open()
        eventually(lambda: running.word(Word.BUSY) == 0, what="nothing runs")
        with Http2Client(running.address) as client:
            assert client.get("/hello").status == 200
