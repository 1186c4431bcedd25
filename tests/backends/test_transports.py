# The native servers with another transport than a plain socket (scrambled.py): whatever it asks for, they do
# what they do otherwise.

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from bigtop.backends.native.timeouts import LAST_REQUEST
from bigtop.backends.serve_options import ServeOptions
from bigtop.http.declarations import Mount, Route
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat, SeatState
from tests.support.backend_server import BackendServer, Steps, eventually, in_time
from tests.support.scrambled import ScrambledClient
from tests.support.site import ROOT, Site, until
from tests.support.wire import Closed, request

KINDS = {
    "wsgi": ("tests.support.scrambled:ScrambledWsgi", "tests.apps.conformance:wsgi"),
    "gevent": ("tests.support.scrambled_gevent:ScrambledGevent", "tests.apps.conformance:wsgi"),
    "asgi": ("tests.support.scrambled:ScrambledAsgi", "tests.apps.conformance:asgi"),
}
ALL = pytest.mark.parametrize("kind", KINDS)


def server(
    kind: str,
    options: ServeOptions | None = None,
    *,
    siblings: int = 0,
    routes: tuple[tuple[Route, int], ...] = (),
) -> BackendServer:
    backend, app = KINDS[kind]
    return BackendServer(app, options, backend=backend, siblings=siblings, routes=routes)


@ALL
def test_one_connection_for_many_requests(kind: str) -> None:
    with server(kind) as subject, ScrambledClient(subject.address) as client:
        for _ in range(28):
            assert client.get("/hello").body == b"hello\n"
        assert client.scrambled.answered == 3, "it wrote in order to read"
        client.send(request("/hello") * 5)
        for _ in range(5):
            assert client.answer().body == b"hello\n"
        client.send(b"nonsense\r\n\r\n")
        assert client.answer().status == 400
        assert client.at_end()
        eventually(lambda: subject.word(Word.REQUESTS) >= 33)


@ALL
def test_large_bodies(kind: str) -> None:
    body = os.urandom(3_000_000)
    with server(kind) as subject, ScrambledClient(subject.address, 65536) as client:
        for _ in range(2):
            assert client.post("/echo", body).body == body
        assert client.get("/big").body == b"b" * (4 << 20)
        assert client.get("/stream").body == b"x" * 50_000
        assert client.get("/hello").status == 200


@pytest.mark.parametrize("kind", ["wsgi", "gevent"])
def test_a_body_that_is_read_as_it_comes(kind: str) -> None:
    body = os.urandom(3_000_000)
    options = ServeOptions(stream_bodies=("/echo",))
    with server(kind, options) as subject, ScrambledClient(subject.address) as client:
        assert client.post("/echo", body).body == body


@ALL
def test_files_without_sendfile(kind: str, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "large").write_bytes(data)
    options = ServeOptions(static=(Mount("/s/", str(tmp_path)),))
    with server(kind, options) as subject, ScrambledClient(subject.address, 65536) as client:
        for _ in range(2):
            assert hashlib.sha256(client.get("/s/large").body).digest() == hashlib.sha256(data).digest()
        assert client.get("/s/large", "Range: bytes=5-9").body == data[5:10]


@ALL
def test_a_client_that_leaves_in_the_middle(kind: str) -> None:
    with server(kind) as subject:
        with ScrambledClient(subject.address, 65536) as client:
            client.send(request("/big"))
            client.socket.recv(1)
        with ScrambledClient(subject.address) as client:
            client.send(request("/echo", "Content-Length: 100000", method="POST") + b"begun")
        eventually(lambda: subject.word(Word.BUSY) == 0)
        with ScrambledClient(subject.address) as client:
            assert client.get("/hello").body == b"hello\n"


@pytest.mark.parametrize("kind", ["wsgi", "gevent"])
def test_a_websocket_that_is_not_wanted_ends_the_connection(kind: str) -> None:
    """As everywhere: what comes behind the request may be of the other protocol."""
    options = ServeOptions(threads=2)
    with server(kind, options) as subject, ScrambledClient(subject.address) as client:
        upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        assert client.get("/hello", *upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==").status == 200
        with pytest.raises(Closed):
            client.get("/hello")


@ALL
def test_it_stays_where_it_is(kind: str) -> None:
    """A worker that drains hands its idle connections over: not those that nobody could go on with."""

    def ask(step: Steps) -> None:
        with server(kind, siblings=1) as subject, ScrambledClient(subject.address) as client:
            subject.play(SeatState.READY)
            assert client.get("/hello").status == 200
            step()
            subject.drain()
            eventually(lambda: subject.word(Seat.OPEN) == 0)
            client.send(request("/hello"))
            step()
            answer = client.answer()
            assert (answer.body, answer["Connection"]) == (b"hello\n", "close")
            assert client.at_end()
            assert subject.sibling.take_own() is None
            assert subject.sibling.take() is None
            assert subject.wait() == 0

    in_time(LAST_REQUEST, ask)


@ALL
def test_it_is_not_handed_to_another_application(kind: str) -> None:
    routes = ((Route("", ""), 0), (Route("", "/api"), 1))
    with server(kind, routes=routes) as subject, ScrambledClient(subject.address) as client:
        subject.serve_neighbour()
        assert client.get("/hello").status == 200
        answer = client.get("/api/x")
        assert answer.status == 421
        assert b"cannot be handed over" in answer.body
        assert client.at_end()
        assert subject.neighbour.take() is None


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_reload_loses_no_request(kind: str, tmp_path: Path) -> None:
    backend, app = KINDS[kind]
    info = tmp_path / "scrambled-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scrambled\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[bigtop.backends]\nscrambled = {backend}\n")
    env = {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    with Site(app, "--backend", "scrambled", "--workers", "2", env=env) as site:
        over = threading.Event()
        answered, wrong = [0], []

        def ask() -> None:
            before = asked = time.monotonic()
            while not over.is_set() and not wrong:
                with ScrambledClient(("127.0.0.1", site.port)) as client:
                    try:
                        answer = None
                        while (answer is None or answer["Connection"] != "close") and not over.is_set():
                            answered[0] += answer is not None
                            client.send(request("/hello"))
                            before, asked = asked, time.monotonic()
                            answer = client.answer()
                    except (Closed, OSError) as error:  # no connection ends but with an answer that says so
                        if asked - before < LAST_REQUEST:  # who was kept from asking proves nothing
                            wrong.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            until(lambda: answered[0] > 50, "requests before the reload")
            site.send(signal.SIGHUP)
            site.wait_for("reloaded, every worker")
            before = answered[0]
            until(lambda: wrong or answered[0] > before + 50, "requests behind it")
        finally:
            over.set()
            thread.join(60)
        assert wrong == []
        assert site.stop() == 0
