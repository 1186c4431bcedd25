# What strict servers refuse, asked of the ASGI backend: the probes are those of the WSGI backend, and so is
# the engine that answers them.

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends.test_wsgi_probes import REFUSED
from tests.support.backend_server import BackendServer
from tests.support.wire import request


@pytest.fixture(scope="module")
def server() -> Iterator[BackendServer]:
    with BackendServer("tests.apps.asgi_basic:app", backend="asgi") as server:
        yield server


@pytest.mark.parametrize("probe", REFUSED)
def test_refused_and_closed(server: BackendServer, probe: str) -> None:
    message, status = REFUSED[probe]
    with server.connect() as client:
        client.send(message)
        answer = client.answer()
        assert (answer.status, answer["Connection"]) == (status, "close")
        assert client.at_end()


def test_a_good_request_before_a_bad_one_is_answered(server: BackendServer) -> None:
    with server.connect() as client:
        client.send(request("/sleep/0.1") + b"GET / HTTP/1.1\r\n\r\n")
        assert client.answer().body == b"slept"
        assert client.answer().status == 400
        assert client.at_end()


def test_a_body_that_breaks_in_the_middle_is_refused(server: BackendServer) -> None:
    with server.connect() as client:
        client.send(request("/echo", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n")
        client.send(b"no number\r\n")
        assert client.answer().status == 400
        assert client.at_end()


def test_an_upgrade_that_is_not_spoken_is_ignored(server: BackendServer) -> None:
    with server.connect() as client:
        assert client.get("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c").body == b"Hello World\n"
        assert client.get("/").status == 200
