# What strict servers refuse and lenient ones let through: raw probes against the live server.
#
# Each of them was accepted by at least one server in use when this was written; most are ways to make two
# servers in a row disagree about where a request ends (request smuggling).

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.backend_server import BackendServer
from tests.support.wire import Client, request

REFUSED = {
    "content-length-and-chunked": (
        request("/", "Content-Length: 4", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n",
        400,
    ),
    "two-content-lengths": (
        request("/", "Content-Length: 4", "Content-Length: 5", method="POST") + b"abcde",
        400,
    ),
    "no-host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two-hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "bare-line-feeds": (b"GET / HTTP/1.1\nHost: test\n\n", 400),
    "space-before-colon": (b"GET / HTTP/1.1\r\nHost : test\r\n\r\n", 400),
    "obs-fold": (b"GET / HTTP/1.1\r\nHost: test\r\nX: a\r\n b\r\n\r\n", 400),
    "nul-in-value": (b"GET / HTTP/1.1\r\nHost: test\r\nX: a\0b\r\n\r\n", 400),
    "unknown-coding": (request("/", "Transfer-Encoding: xchunked", method="POST") + b"0\r\n\r\n", 501),
    "signed-content-length": (request("/", "Content-Length: +4", method="POST") + b"abcd", 400),
    "negative-content-length": (request("/", "Content-Length: -4", method="POST"), 400),
    "line-feed-after-chunk-extension": (
        request("/", "Transfer-Encoding: chunked", method="POST") + b"1;x\na\r\n0\r\n\r\n",
        400,
    ),
    "chunked-in-http-10": (
        request("/", "Transfer-Encoding: chunked", method="POST", version="1.0") + b"0\r\n\r\n",
        400,
    ),
    "large-header": (request("/", "X: " + "a" * 70_000), 431),
}


@pytest.fixture(scope="module")
def server() -> Iterator[BackendServer]:
    with BackendServer("tests.apps.wsgi_basic:app") as server:
        yield server


@pytest.fixture
def client(server: BackendServer) -> Iterator[Client]:
    with server.connect() as client:
        yield client


@pytest.mark.parametrize("probe", REFUSED)
def test_refused_and_closed(client: Client, probe: str) -> None:
    data, status = REFUSED[probe]
    client.send(data + request("/smuggled"))
    answer = client.answer()
    assert answer.status == status
    assert answer["Connection"] == "close"
    assert client.at_end(), "nothing behind a refused request is answered"


def test_three_pipelined_requests_get_three_answers(client: Client) -> None:
    client.send(request("/") * 3)
    assert [client.answer().body for _ in range(3)] == [b"Hello World\n"] * 3


def test_no_body_on_head(client: Client) -> None:
    client.send(request("/", method="HEAD") + request("/", "Connection: close"))
    assert client.answer(head_only=True).status == 200
    assert client.answer().body == b"Hello World\n"
    assert client.at_end()


def test_continue_before_the_body_is_read(client: Client) -> None:
    client.send(request("/echo", "Content-Length: 2", "Expect: 100-continue", method="POST"))
    assert client.answer().status == 100
    client.send(b"ok")
    assert client.answer().body == b"ok"
