# One worker and a sibling that the test plays: what the worker does with answers that are none, and with
# requests that are none.

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psutil
import pytest

from bigtop.backends.serve_options import ServeOptions
from bigtop.http.delegation.answer_frames import (
    BEGUN,
    DATA,
    HEAD,
    AnswerFrame,
    AnswerReader,
    answer_frame,
)
from bigtop.http.delegation.request_message import DelegatedRequest, is_whole, message_of, request_of
from bigtop.http.h2.error_codes import INTERNAL_ERROR
from bigtop.http.h2.request_fields import request_fields
from bigtop.http.h2.response_heads import field
from bigtop.http.messages import Request
from bigtop.ipc.handoff import RequestPair
from bigtop.ipc.seats import SeatState
from tests.support.backend_server import BackendServer, eventually
from tests.support.gate import Gate
from tests.support.http2_client import Http2Client

APPS = {"wsgi": "tests.apps.delegated:app", "gevent": "tests.apps.delegated:app"}
LOGGED = ServeOptions(threads=1, access_format="%(U)s %(s)s")
OK = field(b":status", b"200")


class Played(NamedTuple):
    """A worker with no slot left, and its client."""

    server: BackendServer
    client: Http2Client
    gate: Gate
    held: int

    def taken(self) -> socket.socket:
        """Return what the worker gave away."""
        found: list[socket.socket] = []

        def arrived() -> bool:
            if (pair := self.server.sibling.take()) is not None:
                found.append(pair)
            return bool(found)

        eventually(arrived, what="the worker to give a request away")
        assert isinstance(found[0], RequestPair)
        found[0].settimeout(30)
        return found[0]

    def finish(self) -> None:
        self.gate.open()
        assert self.client.wait(self.held).body == b"slept"

    def paths(self) -> list[str]:
        """Return those in the access log, when that of the gate is there, which is the last one."""
        lines = self.server.access_lines
        eventually(lambda: any(self.gate.target in line for line in lines()), what="the line of the log")
        return [line.split()[0] for line in lines()]


@contextmanager
def played() -> Iterator[Played]:
    with BackendServer(APPS["wsgi"], LOGGED, siblings=1) as server:
        server.play(SeatState.READY)
        with Http2Client(server.address) as client:
            gate = server.gate()
            held = client.ask(gate.target)
            eventually(lambda: gate.entered() == 1, what="the call is inside the application")
            yield Played(server, client, gate, held)


def message(sock: socket.socket) -> bytes:
    data = b""
    while not is_whole(data):
        data += sock.recv(65536)
    return data


def test_a_request_and_its_answer() -> None:
    with played() as one:
        stream = one.client.ask("/any?q", method="POST", body=b"body", headers=[("x-a", "1")])
        with one.taken() as pair:
            got = request_of(message(pair), 1 << 62)
            assert (got.request.method, got.request.target, got.body) == ("POST", b"/any?q", b"body")
            assert (b"x-a", b"1") in got.request.headers
            port = one.client.socket.getsockname()[1]
            assert got.client == ("127.0.0.1", str(port))
            for piece in (answer_frame(BEGUN, b""), answer_frame(HEAD, OK), answer_frame(DATA, b"a")):
                pair.sendall(piece)
            one.client.until(lambda: one.client.answers[stream].body == b"a")
            pair.sendall(answer_frame(DATA, b"b", ends=True))
            assert one.client.wait(stream).body == b"ab"
            assert pair.recv(1) == b"", "it is over"
        one.finish()
        assert one.paths() == [one.gate.target]


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", answer_frame(HEAD, OK)])
def test_what_was_not_begun_is_run_here(said: bytes) -> None:
    with played() as one:
        stream = one.client.ask("/hello")
        with one.taken() as pair:
            pair.sendall(said)
        one.client.ping()
        assert not one.client.answers[stream].status, "there is no slot for it yet"
        one.finish()
        assert one.client.wait(stream).body == b"hello\n"
        assert one.server.sibling.take() is None, "nobody gets it again"


@pytest.mark.parametrize("said", [b"", b"garbage", answer_frame(BEGUN, b"")])
def test_what_was_begun_is_not_run_again(said: bytes) -> None:
    with played() as one:
        stream = one.client.ask("/hello")
        with one.taken() as pair:
            message(pair)
            pair.sendall(answer_frame(BEGUN, b"") + said)
        answer = one.client.wait(stream)
        assert (answer.status, answer.ended) == (502, True)
        eventually(lambda: "/hello 502" in one.server.access_lines(), what="the line of the log")
        one.finish()


@pytest.mark.parametrize("said", [b"", b"garbage", answer_frame(HEAD, OK)])
def test_an_answer_that_breaks_off_is_reset(said: bytes) -> None:
    with played() as one:
        stream = one.client.ask("/hello")
        with one.taken() as pair:
            message(pair)
            pair.sendall(answer_frame(BEGUN, b"") + answer_frame(HEAD, OK) + answer_frame(DATA, b"a") + said)
        answer = one.client.wait(stream)
        assert (answer.status, answer.body, answer.reset) == (200, b"a", INTERNAL_ERROR)
        one.finish()


@pytest.mark.parametrize("begins", [True, False])
def test_who_takes_a_request_learns_that_its_client_gave_up(begins: bool) -> None:
    """Whoever has begun it tells of it in the log."""
    with played() as one:
        stream = one.client.ask("/hello")
        with one.taken() as pair:
            message(pair)
            if begins:
                pair.sendall(answer_frame(BEGUN, b""))
                one.client.ping()
            one.client.reset(stream)
            assert pair.recv(1) == b""
        one.finish()
        assert one.paths() == ([one.gate.target] if begins else ["/hello", one.gate.target])
        assert ("/hello 499" in one.server.access_lines()) is not begins


def test_only_so_many_wait_in_the_queue_as_there_are_others() -> None:
    with played() as one:
        streams = [one.client.ask("/hello") for _ in range(3)]
        for stream in streams:
            with one.taken() as pair:
                message(pair)
                assert one.server.sibling.take() is None
                pair.sendall(answer_frame(BEGUN, b"") + answer_frame(HEAD, OK, ends=True))
                assert one.client.wait(stream).status == 200
        one.finish()


# ---- the other way round


def request(path: bytes) -> bytes:
    made = Request("GET", path, request_fields(b"localhost", []).fields)
    made.version = "2"
    return message_of(DelegatedRequest(made, b"", ("", "80"), ("192.0.2.1", "5"), "https", None, 0))


def answered(pair: socket.socket) -> list[AnswerFrame]:
    reader, frames = AnswerReader(), []
    while data := pair.recv(65536):
        frames += reader.feed(data)
    return frames


@contextmanager
def sent(server: BackendServer, data: bytes) -> Iterator[socket.socket]:
    """Send a worker what it may take for a request; yield where its answer comes."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            ours.settimeout(30)
            ours.sendall(data)
            assert server.sibling.delegate(0, theirs)
        yield ours


@pytest.mark.parametrize("kind", APPS)
def test_requests_of_others_are_run(kind: str) -> None:
    with BackendServer(APPS[kind], LOGGED, backend=kind, siblings=1) as server:
        with sent(server, request(b"/hello")) as pair:
            frames = answered(pair)
        assert [frame.kind for frame in frames] == [BEGUN, HEAD, DATA]
        assert frames[-1].payload == b"hello\n"
        assert frames[-1].ends
        eventually(lambda: server.access_lines() == ["/hello 200"], what="the line of the log")


def closed(pair: socket.socket) -> bool:
    try:
        return pair.recv(1) == b""
    except ConnectionResetError:  # with what we sent unread
        return True


@pytest.mark.parametrize("kind", APPS)
def test_what_is_no_request_is_dropped(kind: str) -> None:
    whole = request(b"/hello")
    forms: list[bytes] = [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        whole[:-1],
        whole + b"x",
        request(b"path"),
        b"\xff" * 9,
    ]
    with BackendServer(APPS[kind], LOGGED, backend=kind, siblings=1) as server:
        before = psutil.Process(server.process.pid).num_fds()
        for form in forms * 8:
            with sent(server, form) as pair:
                assert closed(pair), form
        with sent(server, whole) as pair:
            assert len(answered(pair)) == 3
        assert psutil.Process(server.process.pid).num_fds() < before + 8
        assert "Traceback" not in server.log()
        assert server.log().count("dropped") == 1, "it is said once in a while"


def test_asgi_takes_no_part() -> None:
    with BackendServer("tests.apps.http2_asgi:app", backend="asgi", siblings=1) as server:
        with sent(server, request(b"/hello")) as pair:
            assert closed(pair)
        with server.connect() as client:
            assert client.get("/hello").status == 200


def test_what_no_client_waits_for_is_not_run() -> None:
    with BackendServer(APPS["wsgi"], LOGGED, siblings=1) as server:
        ours, theirs = socket.socketpair()
        with theirs:
            with ours:
                ours.sendall(request(b"/count"))
            assert server.sibling.delegate(0, theirs)
        with sent(server, request(b"/hello")) as pair:
            answered(pair)
        assert server.access_lines() == ["/hello 200"]
