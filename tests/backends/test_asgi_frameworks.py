# Frameworks as their users know them, through a real server.

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from bigtop.backends.serve_options import ServeOptions
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat
from tests.support.backend_server import BackendServer, eventually
from tests.support.wire import request

LOOPS = ["uvloop", "asyncio"]


@pytest.fixture(scope="module", params=LOOPS)
def starlette(request: pytest.FixtureRequest) -> Iterator[BackendServer]:
    options = ServeOptions(loop=request.param, lifespan="on")
    with BackendServer("tests.apps.asgi_starlette:app", options, backend="asgi") as server:
        yield server


@pytest.fixture(scope="module", params=LOOPS)
def django(request: pytest.FixtureRequest) -> Iterator[BackendServer]:
    options = ServeOptions(loop=request.param)
    with BackendServer("tests.apps.asgi_django:app", options, backend="asgi") as server:
        yield server


def told(server: BackendServer) -> str:
    with server.connect() as client:
        return client.get("/told").body.decode()


def test_starlette_state_and_sync_views(starlette: BackendServer) -> None:
    with starlette.connect() as client:
        answer = client.get("/state")
        assert (answer.body, answer["x-seen"]) == (b"hello", "yes")
        assert client.get("/sync?q=1").body == b"GET 1"


def test_starlette_uploads_are_streams(starlette: BackendServer) -> None:
    with starlette.connect() as client:
        assert json.loads(client.post("/upload", b"x" * 3_000_000).body) == {"size": 3_000_000}


def test_starlette_event_streams_end_with_their_client(starlette: BackendServer) -> None:
    with starlette.connect() as client:
        client.send(request("/events"))
        assert b"text/event-stream" in client._until(b"\r\n\r\n")
        client._until(b"data: 3\n\n")
    eventually(lambda: "stream over" in told(starlette))
    eventually(lambda: starlette.word(Word.BUSY) == 0)


def test_starlette_background_tasks_run_behind_the_answer(starlette: BackendServer) -> None:
    with starlette.connect() as client:
        assert client.get("/later").body == b"soon"
        assert client.get("/state").body == b"hello"
    eventually(lambda: "worked" in told(starlette))


def test_starlette_background_tasks_run_though_the_client_left(starlette: BackendServer) -> None:
    before = told(starlette).count("worked")
    with starlette.connect() as client:
        client.send(request("/later"))
    eventually(lambda: told(starlette).count("worked") == before + 1)


def test_starlette_static_files(starlette: BackendServer) -> None:
    path = Path(__file__).parents[1] / "apps" / "asgi_starlette.py"
    with starlette.connect() as client:
        answer = client.get("/static/asgi_starlette.py")
        assert answer.body == path.read_bytes()
        assert client.get("/static/asgi_starlette.py", "Range: bytes=0-9").body == path.read_bytes()[:10]
        etag = answer["etag"]
        assert client.get("/static/asgi_starlette.py", f"If-None-Match: {etag}").status == 304


def test_starlette_static_files_are_sent_by_the_kernel(starlette: BackendServer) -> None:
    path = Path(__file__).parents[1] / "apps" / "asgi_starlette.py"
    before = starlette.written()
    with starlette.connect() as client:
        for _ in range(20):
            client.get("/static/asgi_starlette.py")
    # What sendfile(2) writes is counted behind its last byte.
    eventually(lambda: starlette.written() - before >= 20 * path.stat().st_size)


def test_starlette_chat(starlette: BackendServer) -> None:
    host, port = starlette.address
    url = f"ws://{host}:{port}/chat"
    with (
        connect(url, proxy=None, open_timeout=60) as one,
        connect(url, proxy=None, open_timeout=60) as two,
    ):
        two.send("here")  # so that both are in
        two.recv(30)
        one.send("hello")
        assert "hello" in (two.recv(30), one.recv(30), one.recv(30))
    eventually(lambda: starlette.word(Seat.CONNECTIONS) == 0)


def test_django_views(django: BackendServer) -> None:
    with django.connect() as client:
        assert client.get("/sync").body == b"sync 127.0.0.1"
        assert client.get("/async").body == b"async"
        assert client.get("/stream").body == b"0\n1\n2\n"
        assert client.post("/upload", b"x" * 1_000_000).body == b"1000000"
        assert client.get("/nowhere").status == 404


def test_django_cancels_a_view_whose_client_left(django: BackendServer) -> None:
    with django.connect() as client:
        client.send(request("/slow"))
        eventually(lambda: django.word(Word.BUSY) == 1)
    eventually(lambda: "cancelled" in told(django))
