# PEP 3333 by the letter, as two independent checkers read it; a complaint of theirs is a 500.

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.backend_server import BackendServer
from tests.support.wire import Client, request


@pytest.fixture(scope="module", params=["validated", "linted"])
def server(request: pytest.FixtureRequest) -> Iterator[BackendServer]:
    with BackendServer(f"tests.apps.wsgi_checked:{request.param}") as server:
        yield server


@pytest.fixture
def client(server: BackendServer) -> Iterator[Client]:
    with server.connect() as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/hello", "/hello?a=b", "/stream?n=3&size=10", "/write", "/caught", "/loop"]
)
def test_a_get_passes(client: Client, server: BackendServer, path: str) -> None:
    answer = client.get(path)
    assert answer.status in (200, 503), server.log()
    assert b"failed to answer" not in answer.body


def test_a_body_passes(client: Client, server: BackendServer) -> None:
    answer = client.post("/echo", b"x" * 100_000, "Content-Type: text/plain")
    assert answer.body == b"x" * 100_000, server.log()


def test_a_chunked_body_passes(client: Client, server: BackendServer) -> None:
    client.send(request("/echo", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n0\r\n\r\n")
    assert client.answer().body == b"abc", server.log()


def test_http_10_passes(client: Client, server: BackendServer) -> None:
    client.send(request("/hello", version="1.0"))
    assert client.answer().status == 200, server.log()


def test_the_application_is_closed(client: Client, server: BackendServer) -> None:
    client.get("/stream?n=1&size=1")
    assert b"stream closed" in client.get("/events").body, server.log()
