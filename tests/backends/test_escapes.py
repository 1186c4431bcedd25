# What a view raises costs its own request and nothing else, also when it is no Exception.

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from bigtop.backends.serve_options import ServeOptions
from tests.apps.escaping import ERRORS
from tests.support.backend_server import BackendServer, eventually
from tests.support.site import Site, until
from tests.support.wire import Client, Closed, request

BACKENDS = {
    "wsgi": ("wsgi", "wsgi", ServeOptions()),
    "threads": ("wsgi", "wsgi", ServeOptions(threads=4)),
    "main-thread": ("wsgi", "wsgi", ServeOptions(main_thread=True)),
    "gevent": ("gevent", "wsgi", ServeOptions()),
    "asgi": ("asgi", "asgi", ServeOptions(loop="asyncio")),
    "uvloop": ("asgi", "asgi", ServeOptions(loop="uvloop")),
    "WSGI below ASGI": ("asgi", "wsgi_below_asgi", ServeOptions(threads=4)),
    "waitress": ("waitress", "wsgi", ServeOptions(threads=4)),
    "cheroot": ("cheroot", "wsgi", ServeOptions(threads=4)),
    "wsgiref": ("wsgiref", "wsgi", ServeOptions()),
    "uvicorn": ("uvicorn", "asgi", ServeOptions(loop="asyncio")),
}
WSGI = [name for name, (_, app, _) in BACKENDS.items() if app.startswith("wsgi")]
NATIVE = ["wsgi", "threads", "main-thread", "gevent", "asgi", "uvloop", "WSGI below ASGI"]
NATIVE_ASGI = ["asgi", "uvloop"]


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, BackendServer]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(BackendServer(f"tests.apps.escaping:{app}", options, backend=backend))
            for name, (backend, app, options) in BACKENDS.items()
        }


@pytest.fixture(params=BACKENDS)
def server(request: pytest.FixtureRequest, servers: dict[str, BackendServer]) -> BackendServer:
    return servers[request.param]


@pytest.mark.case("A6")
def test_before_the_head_it_is_a_500(server: BackendServer) -> None:
    with server.connect() as other:
        other.send(request("/slow"))
        for error in ERRORS:
            with server.connect() as client:
                assert client.get(f"/call/{error}").status == 500
            eventually(lambda error=error: f"{error}" in server.log())
        assert other.answer().body == b"here"
    assert server.process.poll() is None


@pytest.mark.case("A6")
@pytest.mark.parametrize("where", ["iterate", "write", "close", "read"])
@pytest.mark.parametrize("name", [name for name in WSGI if name != "wsgiref"])
def test_a_wsgi_application_may_raise_it_anywhere(
    servers: dict[str, BackendServer], name: str, where: str
) -> None:
    server = servers[name]
    for error in ERRORS:
        with server.connect() as client:
            client.send(request(f"/{where}/{error}", "Connection: close", "Content-Length: 0"))
            status = client.rest().split(b" ")[1]
            assert status == (b"500" if where == "read" else b"200")
    with server.connect() as client:
        assert client.get("/ready").body == b"here"
    assert server.process.poll() is None


@pytest.mark.case("A6")
@pytest.mark.parametrize("where", ["child", "orphan", "callback", "iterate", "background"])
@pytest.mark.parametrize("name", NATIVE_ASGI)
def test_an_asgi_application_may_raise_it_anywhere(
    servers: dict[str, BackendServer], name: str, where: str
) -> None:
    server = servers[name]
    with server.connect() as other:
        gate = server.hold(other)
        # In a callback all others are the event loop's affair.
        for error in ("SystemExit", "KeyboardInterrupt") if where == "callback" else ERRORS:
            with server.connect() as client:
                client.send(request(f"/{where}/{error}"))
                if where == "child":
                    assert client.answer().status == 500
                elif where == "iterate":
                    with pytest.raises((Closed, ConnectionError)):
                        client.answer()
                else:
                    assert client.answer().body == b"here"
        gate.open()
        assert other.answer().body == b"here"
    with server.connect() as client:
        assert client.get("/ready").body == b"here"
    assert server.process.poll() is None


@pytest.mark.case("A6")
@pytest.mark.parametrize("name", NATIVE_ASGI)
def test_a_websocket_of_it_is_refused_or_closed(servers: dict[str, BackendServer], name: str) -> None:
    server = servers[name]
    url = f"ws://127.0.0.1:{server.address[1]}"
    for error in ERRORS:
        with pytest.raises(InvalidStatus, match="500"), connect(f"{url}/asked/{error}"):
            pass
        with connect(f"{url}/open/{error}") as socket, pytest.raises(ConnectionClosed, match="1011"):
            socket.recv(30)
    with server.connect() as client:
        assert client.get("/ready").body == b"here"


@pytest.mark.case("A6")
@pytest.mark.parametrize("name", NATIVE)
def test_a_process_that_a_view_forks_may_exit(servers: dict[str, BackendServer], name: str) -> None:
    with servers[name].connect() as client:
        assert client.get("/fork").body == b"3"
        assert client.get("/ready").body == b"here"


@pytest.mark.case("A6")
@pytest.mark.parametrize("threads", ["1", "4"])
def test_the_site_stays_and_its_workers_still_heed_signals(threads: str) -> None:
    with Site("tests.apps.escaping:wsgi", "--threads", threads, "--control", "off") as site:
        address = ("127.0.0.1", site.port)
        [worker] = site.workers()
        with Client(address) as slow, Client(address) as upload:
            upload.send(b"POST /ready HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf.")
            slow.send(request("/slow"))
            for error in ERRORS:
                with Client(address) as client:
                    assert client.get(f"/call/{error}").status == 500
            upload.send(b"whole")
            assert upload.answer().body == b"here"
            assert slow.answer().body == b"here"
        assert list(site.workers()) == [worker]
        site.wait_for("escaping.py")
        os.kill(worker, signal.SIGTERM)
        until(lambda: set(site.workers()) - {worker} and worker not in site.workers(), "a successor")
        assert site.get("/ready") == "here"
