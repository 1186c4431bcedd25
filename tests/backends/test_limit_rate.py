# Answers that are slowed down because the application wants that (X-Accel-Limit-Rate).

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.backends.native.transport.pace import SECOND, Pace
from bigtop.backends.native.transport.transport import PlainTransport
from bigtop.backends.native.transport.write_buffer import BUDGET, Bounds, WriteBuffer
from bigtop.backends.serve_options import AnswerPolicy, ServeOptions
from bigtop.http.declarations import Mount
from bigtop.http.limits import Limits
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat
from bigtop.record import replace
from bigtop.system.clock import monotonic_ns
from tests.support.backend_server import BackendServer, eventually
from tests.support.certificates import ring
from tests.support.http2_client import Http2Client
from tests.support.tls_client import TlsClient
from tests.support.wire import Client, request

SIZE, RATE = 200_000, 100_000
LEAST = SIZE / RATE - 1  # seconds: the first second's share is there at once
KINDS = {
    "wsgi": ("wsgi", "wsgi"),
    "wsgi of one thread": ("wsgi", "wsgi"),
    "gevent": ("gevent", "wsgi"),
    "asgi": ("asgi", "asgi"),
}
PATHS = pytest.mark.parametrize("path", ["/whole", "/pieces", "/file", "/named"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("files")
    (found / "big").write_bytes(bytes(SIZE))
    return found


def served(kind: str, folder: Path, **more: object) -> BackendServer:
    backend, app = KINDS[kind]
    options = ServeOptions(
        answers=AnswerPolicy(accel_headers=True),
        sendfile_roots=(Mount("/files/", str(folder)),),
        main_thread=kind == "wsgi of one thread",
        access_format="%(U)s %(s)s %(B)s",
    )
    return BackendServer(f"tests.apps.slowed:{app}", replace(options, **more), backend=backend)


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, folder: Path) -> Iterator[BackendServer]:
    with served(request.param, folder) as running:
        yield running


def slow(client: Client, path: str) -> float:
    """Return how long an answer takes."""
    began = time.monotonic()
    answer = client.get(f"{path}?{SIZE}&{RATE}")
    assert answer["X-Accel-Limit-Rate"] is None
    assert len(answer.body) == SIZE
    return time.monotonic() - began


@given(st.integers(1, 10**9), st.lists(st.tuples(st.integers(0, 10**10), st.integers(0, 10**9))))
def test_no_more_goes_out_than_the_rate_allows(rate: int, steps: list[tuple[int, int]]) -> None:
    pace, now, total = Pace(rate, 0), 0, 0
    for passed, wanted in steps:
        now += passed
        size = min(wanted, pace.room(now))
        pace.sent(size)
        total += size
        assert total <= rate + rate * now // SECOND
        assert pace.room(now) == rate + rate * now // SECOND - total


def test_a_high_rate_is_not_held_up_by_its_steps() -> None:
    """What a turn of the loop leaves over goes out in the next turn, not behind the next step."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    buffer = WriteBuffer(PlainTransport(ours), Bounds(1 << 30, 0, None), Pace(1 << 32, monotonic_ns()))
    with ours, theirs:
        buffer.put(bytes(8 * BUDGET))
        while buffer.size:
            assert not buffer.is_ahead
            theirs.recv(1 << 20)
            buffer.flush()
    slow = Pace(1000, monotonic_ns())
    ours, theirs = socket.socketpair()
    with ours, theirs:
        buffer = WriteBuffer(PlainTransport(ours), Bounds(1 << 30, 0, None), slow)
        assert buffer.put(bytes(5000))
        assert buffer.is_ahead


@PATHS
def test_an_answer_takes_its_time_and_the_next_one_does_not(server: BackendServer, path: str) -> None:
    with server.connect() as client:
        assert slow(client, path) >= LEAST
        assert len(client.get(f"/whole?{SIZE}").body) == SIZE
        assert slow(client, path) >= LEAST


@pytest.mark.parametrize("path", ["/whole", "/file", "/named"])
def test_others_are_served_meanwhile(server: BackendServer, path: str) -> None:
    with server.connect() as client, server.connect() as other:
        assert other.get("/whole?1").status == 200  # it is let in
        client.send(request(f"{path}?{SIZE}&{RATE // 10}"))
        eventually(client.is_answered, what="the answer begins")
        assert other.get("/whole?5").body == bytes(5)
        if server.backend != "asgi":
            eventually(lambda: server.word(Word.BUSY) == 0, what="the call is over")
        assert len(client.socket.recv(SIZE)) < SIZE, "and the answer is not"


def test_a_time_limit_for_slow_clients_is_none_for_answers_that_are_slowed_down(folder: Path) -> None:
    limits = replace(Limits(), send_timeout=5.0, send_rate=10**9)
    for kind in ("wsgi", "asgi"):
        with served(kind, folder, limits=limits) as server, server.connect() as client:
            began = time.monotonic()
            assert len(client.get("/whole?40000&5000").body) == 40_000
            assert time.monotonic() - began >= 7


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_client_that_takes_nothing_is_lost_all_the_same(folder: Path, kind: str) -> None:
    limits = replace(Limits(), send_timeout=1.0)
    with (
        served(kind, folder, limits=limits) as server,
        Client(server.address, 30, receive_buffer=65536) as client,
    ):
        client.send(request(f"/whole?{64 << 20}&{32 << 20}"))
        eventually(client.is_answered, what="the answer begins")
        eventually(lambda: server.word(Seat.CONNECTIONS) == 0, what="the connection is given up")


def test_over_tls(folder: Path) -> None:
    for kind in ("wsgi", "asgi"):
        backend, app = KINDS[kind]
        options = ServeOptions(answers=AnswerPolicy(accel_headers=True))
        with (
            BackendServer(f"tests.apps.slowed:{app}", options, backend=backend, keyring=ring()) as server,
            TlsClient(server.address) as client,
        ):
            assert slow(client, "/pieces") >= LEAST


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_what_cannot_be_is_said_once(folder: Path, kind: str) -> None:
    with served(kind, folder) as server:
        with Http2Client(server.address) as client:
            for _ in range(2):
                assert len(client.get(f"/whole?{SIZE}&{RATE}").body) == SIZE
        with server.connect() as other:
            assert other.get("/whole?5&nonsense").body == bytes(5)
            assert other.get("/whole?5&0").body == bytes(5)
            assert other.get("/whole?5&off").body == bytes(5)
        assert server.log().count("X-Accel-Limit-Rate") == 1
        assert "X-Accel-Limit-Rate: it is not heeded with HTTP/2" in server.log()
