# What every backend does, whoever wrote the server in it: the same tests over all that are installed.
#
# Rule: a behaviour is left out for a backend only where its Features say that it is absent.

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bigtop.backends import registry
from bigtop.backends.base import Features
from bigtop.backends.native.timeouts import LAST_REQUEST
from bigtop.backends.serve_options import ServeOptions
from bigtop.errors import ConfigError
from bigtop.http.access_log.access_format import compile_format
from bigtop.ipc.histogram import since
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat, SeatState
from tests.support.backend_server import BackendServer, eventually
from tests.support.wire import Answer, Client, Closed, request

LOG = "%(m)s %(U)s %(s)s %(h)s"


def _installed() -> list[str]:
    found = []
    for name in registry.names():
        try:
            registry.load(name)
        except ConfigError:
            continue
        found.append(name)
    return found


INSTALLED = _installed()


def features(backend: str) -> Features:
    return registry.load(backend).features


def needs(backend: str, feature: bool) -> None:
    if not feature:
        pytest.skip(f"{backend} declares that it cannot")


def start(backend: str, *, threads: int = 1, unix: str | None = None) -> BackendServer:
    options = ServeOptions(threads=threads, access_format=LOG)
    app = f"tests.apps.conformance:{features(backend).interface}"
    return BackendServer(app, options, backend=backend, unix=unix)


@pytest.fixture(params=INSTALLED)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=INSTALLED)
def server(request: pytest.FixtureRequest) -> Iterator[BackendServer]:
    with start(request.param) as server:
        server.backend = request.param
        yield server


def get(server: BackendServer, path: str, *headers: str, method: str = "GET") -> Answer:
    with server.connect() as client:
        return client.get(path, *headers, method=method)


def see(server: BackendServer, path: str, *headers: str, method: str = "GET") -> dict[str, str]:
    found: dict[str, str] = json.loads(get(server, path, *headers, method=method).body)
    return found


# ---- requests


def test_a_request_is_answered(server: BackendServer) -> None:
    answer = get(server, "/hello")
    assert (answer.status, answer.body, answer["Content-Length"]) == (200, b"hello\n", "6")


def test_head_is_answered_without_a_body(server: BackendServer) -> None:
    with server.connect() as client:
        client.send(request("/hello", "Connection: close", method="HEAD"))
        assert client.answer(head_only=True).status == 200
        assert client.at_end()


@pytest.mark.parametrize("size", [0, 5, 100_000, 3_000_000])
def test_a_body_reaches_the_application(server: BackendServer, size: int) -> None:
    body = bytes(range(250)) * (size // 250) if size > 250 else b"x" * size
    with server.connect() as client:
        assert client.post("/echo", body).body == body


def test_a_chunked_body_reaches_the_application(server: BackendServer) -> None:
    needs(server.backend, features(server.backend).chunked)
    with server.connect() as client:
        client.send(request("/echo", "Transfer-Encoding: chunked", method="POST"))
        client.send(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        assert client.answer().body == b"hello world"


def test_the_path_is_decoded(server: BackendServer) -> None:
    assert see(server, "/see/a%20b/%C3%A9")["path"] == "/see/a b/é"


def test_the_query_is_not_decoded(server: BackendServer) -> None:
    assert see(server, "/see?a=%20&b=+&c")["query"] == "a=%20&b=+&c"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_the_method_is_passed_on(server: BackendServer, method: str) -> None:
    assert see(server, "/see", method=method)["method"] == method


def test_headers_are_passed_on(server: BackendServer) -> None:
    found = see(server, "/see", "x-TEST:  value with blanks")
    assert (found["host"], found["x"]) == ("test", "value with blanks")


def test_the_client_is_told(server: BackendServer) -> None:
    found = see(server, "/see")
    assert (found["client"], found["scheme"]) == ("127.0.0.1", "http")


def test_a_request_may_come_byte_by_byte(server: BackendServer) -> None:
    needs(server.backend, features(server.backend).fragments)
    with server.connect() as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request("/hello"):
            client.send(bytes([byte]))
        assert client.answer().body == b"hello\n"


def test_a_client_that_leaves_in_the_middle_harms_nobody(server: BackendServer) -> None:
    for cut in (10, 30):
        with server.connect() as client:
            client.send(request("/hello")[:cut])
    with server.connect() as client:
        client.send(request("/big"))
    assert get(server, "/hello").status == 200


def test_what_is_not_http_is_refused(server: BackendServer) -> None:
    with server.connect() as client:
        client.send(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        assert b" 200 " not in client.rest()
    assert get(server, "/hello").status == 200


# ---- responses


@pytest.mark.parametrize(("path", "status"), [("/teapot", 418), ("/missing", 404)])
def test_the_status_is_the_applications(server: BackendServer, path: str, status: int) -> None:
    assert get(server, path).status == status


@pytest.mark.parametrize(("path", "status"), [("/empty", 204), ("/unchanged", 304)])
def test_answers_without_a_body(server: BackendServer, path: str, status: int) -> None:
    with server.connect() as client:
        client.send(request(path, "Connection: close"))
        assert client.answer().status == status
        assert client.at_end()


def test_repeated_headers_stay_apart(server: BackendServer) -> None:
    headers = get(server, "/cookies").headers
    assert [value for name, value in headers if name.lower() == "set-cookie"] == ["a=1", "b=2"]


def test_a_body_without_a_length_is_framed(server: BackendServer) -> None:
    assert get(server, "/no-length").body == b"hello\n"


def test_a_stream_arrives_whole_and_is_closed(server: BackendServer) -> None:
    before = json.loads(get(server, "/calls").body)["closed"]
    assert get(server, "/stream").body == b"x" * 50_000
    eventually(lambda: json.loads(get(server, "/calls").body)["closed"] > before)


def test_a_stream_is_sent_while_it_is_made(server: BackendServer) -> None:
    needs(server.backend, features(server.backend).streams)
    with server.connect() as client:
        gate = server.hold(client, view="/trickle")
        assert client.socket.recv(100)
        gate.open()


@pytest.mark.parametrize("buffer", [0, 65536])
def test_a_large_response_arrives_whole(server: BackendServer, buffer: int) -> None:
    needs(server.backend, features(server.backend).large)
    with Client(server.address, 30, receive_buffer=buffer) as client:
        assert client.get("/big").body == b"b" * (4 << 20)


def test_a_failing_application_costs_one_answer(server: BackendServer) -> None:
    assert get(server, "/broken").status == 500
    assert get(server, "/hello").status == 200
    assert "this view is broken" in server.log()


def test_a_response_that_fails_in_the_middle_does_not_look_whole(server: BackendServer) -> None:
    needs(server.backend, features(server.backend).keep_alive)  # HTTP/1.0 shows no other end than this one
    with server.connect() as client:
        client.send(request("/half"))
        try:
            answer = client.answer()
        except (Closed, ConnectionError):
            return
        assert answer.status == 500


# ---- connections


def test_a_connection_is_used_again(server: BackendServer) -> None:
    needs(server.backend, features(server.backend).keep_alive)
    with server.connect() as client:
        assert [client.get("/hello").body for _ in range(5)] == [b"hello\n"] * 5


def test_requests_may_be_pipelined(server: BackendServer) -> None:
    needs(server.backend, features(server.backend).pipelines)
    with server.connect() as client:
        client.send(request("/hello") + request("/teapot") + request("/hello"))
        assert [client.answer().status for _ in range(3)] == [200, 418, 200]


def test_a_client_may_end_the_connection(server: BackendServer) -> None:
    with server.connect() as client:
        assert client.get("/hello", "Connection: close").status == 200
        assert client.at_end()


def test_http_1_0_is_answered_and_closed(server: BackendServer) -> None:
    with server.connect() as client:
        client.send(request("/hello", version="1.0"))
        assert client.answer().body == b"hello\n"
        assert client.at_end()


def test_a_silent_client_holds_nobody_up(server: BackendServer) -> None:
    needs(server.backend, features(server.backend).patient)
    with server.connect() as silent:
        assert get(server, "/hello").status == 200
        silent.close()


# ---- what is told


def counted(server: BackendServer) -> list[str]:
    """Lines of the access log about requests of the application; others the server has refused by itself."""
    refused = {"400", "408", "413", "414", "421", "431", "501", "503", "505"}
    return [line for line in server.access_lines() if line.rsplit(" ", 2)[1] not in refused]


def test_requests_are_counted(server: BackendServer) -> None:
    # An answer may be here before its request is counted and logged.
    eventually(lambda: server.word(Word.BUSY) == 0)
    eventually(lambda: server.word(Word.REQUESTS) == len(counted(server)))
    requests, errors = server.word(Word.REQUESTS), server.word(Word.ERRORS)
    for path in ("/hello", "/stream", "/broken", "/missing"):
        get(server, path)
    eventually(lambda: server.word(Word.REQUESTS) == requests + 4)
    assert server.word(Word.ERRORS) == errors + 1
    eventually(lambda: server.word(Word.BUSY) == 0)


def test_requests_are_counted_by_class_and_by_how_long_they_took(server: BackendServer) -> None:
    eventually(lambda: server.word(Word.BUSY) == 0)
    eventually(lambda: server.word(Word.REQUESTS) == len(counted(server)))
    kinds = (Word.REQUESTS, Word.STATUS_1XX, Word.STATUS_3XX, Word.STATUS_4XX, Word.ERRORS)
    before, times = [server.word(kind) for kind in kinds], server.scoreboard.latencies()
    sums = server.word(Word.LATENCY_NS)
    for path in ("/hello", "/unchanged", "/teapot", "/missing", "/broken"):
        get(server, path)
    eventually(lambda: server.word(Word.REQUESTS) == before[0] + 5)
    after = [server.word(kind) for kind in kinds]
    assert [late - early for early, late in zip(before, after, strict=True)] == [5, 0, 1, 2, 1]
    assert sum(since(times, server.scoreboard.latencies())) == 5
    assert server.word(Word.LATENCY_NS) > sums


def test_finished_requests_stay_on_the_scoreboard(server: BackendServer) -> None:
    get(server, "/teapot?secret")
    eventually(lambda: any(done.path.startswith("/teapot") for done in server.scoreboard.finished()))
    done = [done for done in server.scoreboard.finished() if done.path.startswith("/teapot")][-1]
    assert (done.method, done.status, done.client) == ("GET", 418, "127.0.0.1")


def test_a_running_request_is_on_the_scoreboard(server: BackendServer) -> None:
    with server.connect() as client:
        gate = server.hold(client)
        eventually(lambda: [one.path for one in server.scoreboard.running()] == [gate.target])
        assert server.scoreboard.soonest(1) > 0
        gate.open()
        assert client.answer().body == b"slept"
    eventually(lambda: not server.scoreboard.running())


def test_requests_are_logged(server: BackendServer) -> None:
    assert compile_format(LOG)
    get(server, "/teapot?log=1")
    eventually(lambda: "GET /teapot 418 127.0.0.1" in server.access_lines())


# ---- the end


@contextmanager
def all_at_once(among: Iterable[str] = INSTALLED) -> Iterator[dict[str, tuple[BackendServer, Client]]]:
    """A server with a client for each backend: what takes its time need not take it once for each."""
    with ExitStack() as opened:
        servers = {backend: opened.enter_context(start(backend)) for backend in among}
        yield {name: (server, opened.enter_context(server.connect())) for name, server in servers.items()}


def test_idle_workers_leave_when_they_are_told() -> None:
    with all_at_once() as servers:
        for backend, (server, client) in servers.items():
            assert client.get("/hello", "Connection: close").status == 200, backend
            server.tell_to_drain(60)
        assert {backend: server.wait() for backend, (server, _) in servers.items()} == dict.fromkeys(
            servers, 0
        )


def test_running_requests_are_answered_before_the_end() -> None:
    with all_at_once() as servers:
        gates = [server.hold(client) for server, client in servers.values()]
        for server, _ in servers.values():
            server.tell_to_drain(60)
        told = time.monotonic()
        eventually(lambda: time.monotonic() - told > LAST_REQUEST + 0.5, what="longer than idle ones have")
        for gate in gates:
            gate.open()
        for backend, (server, client) in servers.items():
            assert client.answer().body == b"slept", backend
            client.close()
            assert server.wait() == 0, backend


def test_a_draining_worker_says_so_to_idle_clients(backend: str) -> None:
    needs(backend, features(backend).says_goodbye and features(backend).keep_alive)
    with start(backend) as server, server.connect() as client, server.connect() as other:
        assert client.get("/hello")["Connection"] in (None, "keep-alive", "Keep-Alive")
        other.get("/hello")
        server.drain()
        eventually(lambda: (other.get("/hello")["Connection"] or "").lower() == "close")
        assert (client.get("/hello")["Connection"] or "").lower() == "close"
        assert client.at_end()


def test_a_draining_worker_accepts_nobody(backend: str) -> None:
    with start(backend) as server, server.connect() as busy:
        gate = server.hold(busy)
        heir = server.seats.words(1)  # without one, who comes in the last moment is answered
        heir[Seat.STATE], heir[Seat.OPEN] = SeatState.READY, 1
        server.tell_to_drain(60)
        if not features(backend).interruptible:  # it hears of that when the call is over
            gate.open()
        eventually(lambda: not server.listens())
        with server.connect() as late:  # the test holds the listener open, as a successor would
            late.send(request("/hello"))
            gate.open()
            assert busy.answer().body == b"slept"
            busy.close()
            assert server.wait() == 0
            server.listener.settimeout(30)
            waiting, _ = server.listener.accept()
            with waiting:
                assert waiting.recv(100).startswith(b"GET /hello")


def test_grace_ends() -> None:
    with all_at_once(name for name in INSTALLED if features(name).interruptible) as servers:
        for server, client in servers.values():
            server.hold(client)
            server.drain(0.5)
        for server, _ in servers.values():
            server.wait()


def test_workers_without_a_supervisor_leave() -> None:
    with all_at_once() as servers:
        for backend, (server, client) in servers.items():
            assert client.get("/hello", "Connection: close").status == 200, backend
            server.vanish()
        assert {backend: server.wait() for backend, (server, _) in servers.items()} == dict.fromkeys(
            servers, 0
        )


# ---- what some can


def test_threads_run_calls_side_by_side(backend: str) -> None:
    needs(backend, features(backend).threads)
    with start(backend, threads=3) as server:
        with server.connect() as one, server.connect() as two, server.connect() as three:
            server.hold(one, two, three).open()
            assert [client.answer().body for client in (one, two, three)] == [b"slept"] * 3
        assert json.loads(get(server, "/calls").body)["most"] == 3


def test_unix_sockets(backend: str, tmp_path: Path) -> None:
    needs(backend, features(backend).unix)
    with start(backend, unix=str(tmp_path / "s")) as server:
        assert get(server, "/hello").body == b"hello\n"
        with server.connect() as client:
            assert client.post("/echo", b"body").body == b"body"
        eventually(lambda: server.word(Word.REQUESTS) == 2)
