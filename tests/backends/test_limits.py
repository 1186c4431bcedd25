# What one client may take of a worker: connections, requests, time. The same with both native servers.

from __future__ import annotations

import asyncio
import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from bigtop.backends.asgi.calls.wsgi_app import InThreads
from bigtop.backends.native.timeouts import GRACE
from bigtop.backends.serve_options import Gates, ServeOptions
from bigtop.http.declarations import Rate
from bigtop.http.interfaces.wsgi import Environ
from bigtop.http.limits import Limits
from bigtop.ipc.seats import Seat
from tests.support.backend_server import BackendServer, eventually
from tests.support.wire import UPGRADE, Client, request

KINDS = {
    "wsgi": "tests.apps.wsgi_basic:app",
    "gevent": "tests.apps.wsgi_basic:app",
    "asgi": "tests.apps.asgi_basic:app",
}
MB = 1 << 20


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def server(kind: str, **options: Any) -> BackendServer:
    return BackendServer(KINDS[kind], ServeOptions(**options), backend=kind)


def status(subject: BackendServer) -> int:
    with subject.connect() as client:
        return client.get("/").status


def test_an_address_gets_so_many_connections(kind: str) -> None:
    with server(kind, gates=Gates(connections=2), forwarded_allow_ips=()) as subject:
        for _ in range(2):
            with subject.connect() as first, subject.connect() as second:
                first.get("/")
                second.get("/")
                with subject.connect() as third:
                    assert third.answer().status == 503
                    assert third.at_end()
                first.close()
                eventually(lambda: subject.word(Seat.CONNECTIONS) == 1)
                assert status(subject) == 200
            eventually(lambda: subject.word(Seat.CONNECTIONS) == 0)


def test_a_websocket_is_a_connection_of_its_address() -> None:
    with server("asgi", gates=Gates(connections=1), forwarded_allow_ips=()) as subject:
        with subject.connect() as client:
            client.send(request("/echo", *UPGRADE))
            assert client.answer().status == 101
            with subject.connect() as other:
                assert other.answer().status == 503
        eventually(lambda: subject.word(Seat.CONNECTIONS) == 0)
        assert status(subject) == 200


def test_proxies_are_not_limited_by_their_address(kind: str) -> None:
    with (
        server(kind, gates=Gates(connections=1, rate=Rate(1, 1))) as subject,
        subject.connect() as first,
        subject.connect() as second,
    ):
        for client in (first, second) * 3:
            assert client.get("/").status == 200


def test_an_address_gets_so_many_requests_per_second(kind: str) -> None:
    options: dict[str, Any] = {
        "gates": Gates(rate=Rate(5, 1)),
        "forwarded_allow_ips": (),
        "access_format": "%(s)s",
    }
    with server(kind, **options) as subject:
        with subject.connect() as client:
            began, answered = time.monotonic(), 0
            client.send(request("/") * 100)
            while (code := client.answer().status) == 200:
                answered += 1
            assert 5 <= answered <= 5 + 5 * (time.monotonic() - began)
            assert code == 429
            assert client.at_end()
        assert subject.access_lines() == ["200"] * answered + ["429"]
        eventually(lambda: status(subject) == 200, what="a new second")


def test_a_request_too_many_is_refused_without_its_body(kind: str) -> None:
    with (
        server(kind, gates=Gates(rate=Rate(1, 1)), forwarded_allow_ips=()) as subject,
        subject.connect() as client,
    ):
        upload = request("/echo", "Content-Length: 9", "Expect: 100-continue", method="POST")
        client.send(request("/") + upload)  # within a second
        assert client.answer().status == 200
        assert client.answer().status == 429


@pytest.mark.parametrize("kind", ["gevent", "asgi"])
def test_one_request_too_many_is_told_so(kind: str) -> None:
    with server(kind, limit_concurrency=1) as subject, subject.connect() as one, subject.connect() as two:
        gate = subject.hold(one)
        assert two.get("/").status == 503
        gate.open()
        assert one.answer().body == b"slept"
        assert one.get("/").status == 200


def test_a_request_that_waited_too_long_is_told_so(kind: str) -> None:
    more = {"worker_connections": 1} if kind == "gevent" else {}
    options: dict[str, Any] = {"max_queue_time": 1.0, "access_format": "%(s)s", **more}
    with server(kind, **options) as subject, subject.connect() as one, subject.connect() as two:
        view = "/blocked" if kind == "asgi" else "/held"
        gate = subject.hold(one, view=view, headers=["Connection: close"])
        two.send(request("/"))
        sent = time.monotonic()
        eventually(lambda: time.monotonic() - sent > 1.5, what="the time to wait is over")
        gate.open()
        assert one.answer().body == b"slept"
        refused = two.answer()
        assert (refused.status, refused["Retry-After"]) == (503, "1")
        assert refused.body == b"503 Service Unavailable\ntoo many requests wait\n"
        eventually(lambda: two.get("/").status == 200, what="a request that does not wait")
        assert set(subject.access_lines()) == {"200", "503"}


def test_an_application_for_wsgi_among_others_has_no_requests_wait_too_long() -> None:
    entered, go = threading.Event(), threading.Event()

    def app(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        entered.set()
        go.wait(30)
        start_response("200 OK", [])
        return [b"ok"]

    async def status_of(subject: InThreads) -> int:
        sent: list[dict[str, Any]] = []
        scope = {
            "type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"",
            "headers": [], "http_version": "1.1", "root_path": "", "scheme": "http",
            "server": ("x", 80), "client": ("y", 1),
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await subject(scope, receive, send)
        return int(sent[0]["status"])

    async def both() -> list[int]:
        subject = InThreads(app, 1, 1 << 16, None, max_queue_time=2.0)
        first = asyncio.create_task(status_of(subject))
        await asyncio.to_thread(entered.wait, 30)
        second = asyncio.create_task(status_of(subject))
        began = time.monotonic()
        while time.monotonic() - began < 2.3:
            await asyncio.sleep(0.01)
        go.set()
        return await asyncio.gather(first, second)

    assert asyncio.run(both()) == [200, 503]


def test_a_websocket_too_many_is_told_so() -> None:
    with server("asgi", limit_concurrency=1) as subject, subject.connect() as one, subject.connect() as two:
        gate = subject.hold(one)
        two.send(request("/", *UPGRADE))
        assert two.answer().status == 503
        assert two.at_end()
        gate.open()
        assert one.answer().body == b"slept"


def test_an_answer_that_closes_arrives_although_the_client_has_sent_more(kind: str) -> None:
    """A close with unread input is a reset, which can destroy the answer on its way."""
    app = f"tests.apps.faulty:{'asgi' if kind == 'asgi' else 'wsgi'}"
    with BackendServer(app, backend=kind) as subject, subject.connect() as client:
        client.send(request("/close") + request("/") * 5000)
        answer = client.answer()
        assert (answer.status, answer["Connection"]) == (200, "close")
        assert client.at_end(), "and not a reset"


# ---- minimum rates


def with_all_kinds(check: Callable[[str], None]) -> None:
    """At once: what takes so many seconds need not take three times as many."""
    with ThreadPoolExecutor(len(KINDS)) as pool:
        list(pool.map(check, KINDS))


def drip(client: Client, began: float) -> None:
    """Send a byte each 50 ms until there is an answer."""
    while not select.select([client.socket], [], [], 0.05)[0]:
        client.send(b"x")
        assert time.monotonic() - began < 60


def test_a_body_that_trickles_is_a_408() -> None:
    def check(kind: str) -> None:
        with server(kind) as subject, subject.connect() as client:
            began = time.monotonic()
            client.send(request("/echo", "Content-Length: 10000", method="POST"))
            drip(client, began)
            assert client.answer().status == 408
            assert time.monotonic() - began > GRACE

    with_all_kinds(check)


def test_a_head_that_trickles_is_a_408() -> None:
    def check(kind: str) -> None:
        with server(kind, limits=Limits(header_rate=100)) as subject, subject.connect() as client:
            began = time.monotonic()
            client.send(b"GET / HTTP/1.1\r\nX-Drip: ")
            drip(client, began)
            assert client.answer().status == 408
            assert time.monotonic() - began > GRACE

    with_all_kinds(check)


def test_a_client_that_takes_an_answer_in_drops_is_given_up() -> None:
    options = ServeOptions(limits=Limits(send_rate=1 << 30))

    def check(kind: str) -> None:
        with (
            BackendServer(KINDS[kind], options, backend=kind, send_buffer=65536) as subject,
            Client(subject.address, timeout=30, receive_buffer=4096) as reader,
        ):
            began = time.monotonic()
            reader.send(request(f"/stream?n=20&size={MB}"))
            eventually(lambda: subject.word(Seat.CONNECTIONS) == 1)
            while subject.word(Seat.CONNECTIONS):
                with suppress(ConnectionError):
                    reader.socket.recv(20_000)
                assert time.monotonic() - began < 60
                time.sleep(0.05)  # a slow reader
            assert time.monotonic() - began > GRACE

    with_all_kinds(check)


def test_an_application_that_takes_its_time_over_a_body_makes_nobody_slow() -> None:
    """What is not read, or not asked for, cannot come."""
    body, path = b"x" * 2_000_000, f"/late-read/{GRACE + 1}"
    options = ServeOptions(limits=Limits(body_rate=10_000_000))
    with (
        BackendServer(KINDS["asgi"], options, backend="asgi") as subject,
        subject.connect(60) as sends,
        subject.connect(60) as waits,
    ):
        waits.send(request(path, "Content-Length: 3", "Expect: 100-continue", method="POST"))
        sends.send(request(path, f"Content-Length: {len(body)}", method="POST") + body)
        assert sends.answer().body == str(len(body)).encode()
        assert waits.answer().status == 100
        waits.send(b"abc")
        assert waits.answer().body == b"3"
