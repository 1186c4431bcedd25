# --stream-bodies: the application for WSGI reads the body while it arrives, also below one for ASGI.

from __future__ import annotations

import pytest

from bigtop.backends.serve_options import ServeOptions
from bigtop.http.limits import Limits
from bigtop.ipc.scoreboard import RequestPhase, Word
from tests.support.backend_server import BackendServer, eventually
from tests.support.wire import request

APPS = {
    "wsgi": "tests.apps.uploads:app",
    "gevent": "tests.apps.uploads:app",
    "asgi": "tests.apps.uploads:mounted",
}


@pytest.fixture(params=APPS)
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "gevent":
        pytest.importorskip("gevent")
    return str(request.param)


def served(backend: str, **limits: float) -> BackendServer:
    options = ServeOptions(stream_bodies=("/lines*", "/count"), limits=Limits(**limits))  # type: ignore[arg-type]
    return BackendServer(APPS[backend], options, backend=backend)


def head(path: str, *fields: str) -> bytes:
    return request(path, *fields, method="POST")


def test_lines_are_answered_while_the_body_comes(backend: str) -> None:
    with served(backend) as server, server.connect() as client:
        client.send(head("/lines", "Content-Length: 12"))
        for number, line in enumerate((b"one\n", b"two\n", b"six\n")):
            client.send(line)
            eventually(lambda number=number, line=line: f"line {number}: {line!r}" in server.log())  # type: ignore[misc]
        assert client.answer().body == b"3"
        # What begins before the body is here ends the connection; with ASGI it is known what came meanwhile.
        assert backend == "asgi" or client.at_end()


@pytest.mark.parametrize("framing", ["Content-Length: 300000", "Transfer-Encoding: chunked"])
def test_a_body_is_whole_and_the_connection_stays_where_it_was_read_first(backend: str, framing: str) -> None:
    with served(backend) as server, server.connect() as client:
        for _ in range(2):
            client.send(head("/count", framing))
            if framing.startswith("Content"):
                client.send(b"x" * 300_000)
            else:
                client.send(
                    b"".join(b"30d40\r\n" + b"x" * 200_000 + b"\r\n" for _ in range(2)) + b"0\r\n\r\n"
                )
            assert client.answer().body == (b"300000" if framing.startswith("Content") else b"400000")


def test_others_are_served_while_a_call_waits_for_its_body(backend: str) -> None:
    with served(backend) as server, server.connect() as slow, server.connect() as other:
        slow.send(head("/count", "Content-Length: 10") + b"12345")
        if backend == "asgi":
            eventually(lambda: server.word(Word.BUSY) == 1)
        else:
            eventually(lambda: any(one.phase is RequestPhase.WRITING for one in server.scoreboard.running()))
        if backend != "wsgi":
            assert other.get("/whole").body == b"0"
        slow.send(b"67890")
        assert slow.answer().body == b"10"
        assert other.get("/whole").body == b"0"


def test_other_paths_get_their_body_complete(backend: str) -> None:
    with served(backend) as server, server.connect() as client:
        client.send(head("/whole", "Content-Length: 10") + b"12345")
        eventually(lambda: server.word(Word.BYTES_IN) > 0)
        assert server.word(Word.BUSY) == (1 if backend == "asgi" else 0)
        client.send(b"67890")
        assert client.answer().body == b"10"


def test_a_body_that_is_not_read_ends_the_connection_behind_the_answer(backend: str) -> None:
    with served(backend) as server, server.connect() as client:
        client.send(head("/lines/ignored", "Content-Length: 1000000"))
        answer = client.answer()
        assert (answer.status, answer["Connection"]) == (200, "close")
        client.send(b"x" * 1000)
        assert client.at_end()


def test_the_application_asks_for_the_body_by_reading(backend: str) -> None:
    with served(backend) as server, server.connect() as client:
        client.send(head("/count", "Content-Length: 3", "Expect: 100-continue"))
        assert client.answer().status == 100
        client.send(b"abc")
        assert client.answer().body == b"3"
        client.send(head("/lines/ignored", "Content-Length: 3", "Expect: 100-continue"))
        assert client.answer().status == 200, "and does not where it reads nothing"


def test_a_client_that_leaves_is_an_oserror(backend: str) -> None:
    with served(backend) as server:
        with server.connect() as client:
            client.send(head("/count", "Content-Length: 10") + b"123")
            eventually(lambda: server.word(Word.BUSY) == 1)
        error = "ClientDisconnected" if backend == "asgi" else "BodyLost"
        eventually(lambda: f"{error}: the client left in the middle of the body" in server.log())
        eventually(lambda: server.word(Word.BUSY) == 0)


def test_who_stays_silent_in_the_middle_is_given_up(backend: str) -> None:
    with served(backend, body_timeout=0.2) as server, server.connect() as client:
        client.send(head("/count", "Content-Length: 10") + b"123")
        if backend == "asgi":
            assert client.answer().status == 408
        assert client.at_end()
        eventually(lambda: server.word(Word.BUSY) == 0)


def test_a_chunk_that_is_none_is_a_400(backend: str) -> None:
    with served(backend) as server, server.connect() as client:
        client.send(head("/lines/quiet", "Transfer-Encoding: chunked") + b"3\r\none\r\nxyz\r\n")
        assert client.answer().status == 400
        assert client.at_end()
