# No request outlives its client by more than a moment, whatever its method, status and framing, whatever the
# backend, and however the client leaves; and none goes on where nothing more can be sent.

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import product

import pytest

from bigtop.backends.serve_options import ServeOptions
from bigtop.http.limits import Limits
from bigtop.ipc.scoreboard import Word
from tests.support.backend_server import BackendServer, eventually, stopped
from tests.support.wire import Client, leave, request

LIMITS = Limits(send_timeout=1, send_memory=65536, send_file=0)
BACKENDS = {
    "wsgi": ("wsgi", "wsgi", ServeOptions(limits=LIMITS)),
    "threads": ("wsgi", "wsgi", ServeOptions(limits=LIMITS, threads=4)),
    "main-thread": ("wsgi", "wsgi", ServeOptions(limits=LIMITS, main_thread=True)),
    "gevent": ("gevent", "wsgi", ServeOptions(limits=LIMITS)),
    "asgi": ("asgi", "asgi", ServeOptions(limits=LIMITS)),
    "mounted WSGI": ("wsgi", "wsgi_mounted", ServeOptions(limits=LIMITS)),
    "WSGI below ASGI": ("asgi", "wsgi_below_asgi", ServeOptions(limits=LIMITS, threads=4)),
}
# Nothing more can be sent after the head, or after ten bytes: method, HTTP version, path.
SHORT = [
    *product(("HEAD",), ("1.1", "1.0"), ("/200/none/5", "/200/length/5", "/200/none/0", "/404/none/5")),
    *product(("GET", "POST", "BREW"), ("1.1", "1.0"), ("/204/none/5", "/304/none/5", "/204/length/5")),
    *product(("GET", "POST"), ("1.1", "1.0"), ("/200/length/5", "/200/length/10", "/200/length/25")),
    ("GET", "1.1", "/204/none/0"),
    ("GET", "1.1", "/200/length/100000"),
    ("HEAD", "1.1", "/200/none/100000"),
]
# The answer goes on as long as its client is there.
LONG = [*product(("GET", "POST"), ("1.1", "1.0"), ("/200/none/5", "/200/none/100000"))]
SILENT = ("GET", "1.1", "/200/none/0")


def ask(server: BackendServer, method: str, version: str, path: str) -> Client:
    client = Client(server.address, receive_buffer=4096)
    extra = () if method != "POST" else ("Content-Length: 0",)
    client.send(request(path, *extra, method=method, version=version))
    return client


@pytest.fixture(scope="module", params=BACKENDS)
def server(request: pytest.FixtureRequest) -> Iterator[BackendServer]:
    backend, app, options = BACKENDS[request.param]
    with BackendServer(f"tests.apps.endless:{app}", options, backend=backend) as server:
        yield server


@pytest.fixture
def client(server: BackendServer) -> Iterator[Client]:
    with server.connect() as client:
        yield client


@pytest.mark.case("A2")
def test_no_answer_outlives_its_client_or_its_own_end(server: BackendServer) -> None:
    staying: list[Client] = []
    before = server.word(Word.REQUESTS)
    cases = [
        *((one, how) for one, how in product(SHORT, ("fin", "reset", "half", "deaf"))),
        *((one, how) for one, how in product(LONG, ("fin", "reset"))),
        *((SILENT, how) for how in ("fin", "reset", "half")),
        (("GET", "1.1", "/200/none/100000"), "deaf"),
    ]
    for one, how in cases:
        client = ask(server, *one)
        leave(client, how)
        if how in ("half", "deaf"):
            staying.append(client)
    count = sum(how != "reset" for _, how in cases)  # what is reset at once may never have been a request
    eventually(lambda: server.word(Word.REQUESTS) >= before + count, 60, "all answers are over")
    eventually(lambda: server.word(Word.BUSY) == 0, 60, "all calls are over")
    for client in staying:
        client.close()

    def are_closed() -> bool:
        with server.connect() as client:
            begun, closed = client.get("/").body.split()
        assert int(begun) >= count
        return begun == closed

    eventually(are_closed, 60, "those of clients that were reset, too, which may begin late")
    assert " failed" not in server.log()
    assert "ERROR" not in server.log()


@pytest.mark.case("A2")
def test_the_connection_goes_on_behind_an_answer_that_was_cut(client: Client) -> None:
    client.send(request("/200/none/5", method="HEAD"))
    client.send(request("/204/none/5") + request("/200/length/4") + request("/"))
    assert client.answer(head_only=True).status == 200
    assert client.answer().status == 204
    assert client.answer().body == b"x" * 10
    assert client.answer().status == 200
    assert client.get("/").status == 200


@pytest.mark.case("A2")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_endless_writes_end(client: Client, server: BackendServer, method: str) -> None:
    answer = client.get("/write", method=method)
    if answer["Content-Length"] == "10":  # the application for ASGI has nothing like it
        assert answer.body == (b"" if method == "HEAD" else b"x" * 10)
    eventually(lambda: server.word(Word.BUSY) == 0)
    begun, closed = client.get("/").body.split()
    assert begun == closed


@pytest.mark.case("A2")
def test_who_has_said_all_still_gets_its_answer(client: Client) -> None:
    client.send(request("/"))
    client.socket.shutdown(socket.SHUT_WR)
    assert client.answer().status == 200
    assert client.at_end()


@pytest.mark.case("A2")
@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.parametrize("behind", [0, 1, 3])
def test_a_call_that_waits_for_its_client_to_leave_is_told(how: str, behind: int) -> None:
    """Also when further requests stand between it and the end."""
    with BackendServer("tests.apps.endless:asgi", ServeOptions(limits=LIMITS), backend="asgi") as server:
        with server.connect() as client:
            client.send(request("/listen") + request("/listen") * behind)
            eventually(client.is_answered)
            leave(client, how)
        eventually(lambda: server.word(Word.BUSY) == 0 and server.word(Word.REQUESTS) > 0)
        with server.connect() as client:
            begun, closed = client.get("/").body.split()
            assert begun == closed


@pytest.mark.case("A2")
def test_a_call_that_begins_to_listen_when_its_client_has_left_is_told() -> None:
    with BackendServer("tests.apps.endless:asgi", ServeOptions(limits=LIMITS), backend="asgi") as server:
        with server.connect() as client:
            client.send(request("/listen/late"))
            client.socket.shutdown(socket.SHUT_WR)
            assert client.rest().count(b"begun") == 1
        with server.connect() as client:
            assert client.get("/").body == b"1 1"


@pytest.mark.case("A2")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("body", [(), ("Content-Length: 5",)])
def test_a_request_that_comes_together_with_the_reset_of_its_client(loop: str, body: tuple[str, ...]) -> None:
    """Its call listens, or waits for the rest of the body."""
    options = ServeOptions(limits=LIMITS, loop=loop)
    with BackendServer("tests.apps.endless:asgi", options, backend="asgi") as server:
        client = server.connect()
        assert client.get("/").body == b"0 0"
        with stopped(server):
            client.send(request("/listen/silent", *body))
            leave(client, "reset")
        eventually(lambda: server.word(Word.REQUESTS) == 2 and server.word(Word.BUSY) == 0)
        with server.connect() as client:
            assert client.get("/").body == b"1 1"


@pytest.mark.case("A2")
@pytest.mark.parametrize("how", ["fin", "reset", "deaf"])
def test_hints_without_end_end_with_their_client(how: str) -> None:
    """One that takes none of them is given up like one that takes no answer."""
    with BackendServer("tests.apps.endless:asgi", ServeOptions(limits=LIMITS), backend="asgi") as server:
        client = ask(server, "GET", "1.1", "/hints")
        eventually(client.is_answered)
        leave(client, how)
        eventually(lambda: server.word(Word.BUSY) == 0)
        client.close()
        with server.connect() as client:
            assert client.get("/").body == b"1 1"
