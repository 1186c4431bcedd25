# Handlers, filters and their like in front of an application: the same on the wire with both native servers.

from __future__ import annotations

from pathlib import Path

import pytest

from bigtop.backends.serve_options import ServeOptions
from bigtop.ipc.scoreboard import Word
from tests.support import handlers
from tests.support.backend_server import BackendServer, eventually
from tests.support.wire import UPGRADE, Client, request

KINDS = {
    "wsgi": ("tests.support.handlers:{}Wsgi", "tests.apps.conformance:wsgi"),
    "gevent": ("tests.support.handlers_gevent:{}Gevent", "tests.apps.conformance:wsgi"),
    "asgi": ("tests.support.handlers:{}Asgi", "tests.apps.conformance:asgi"),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def server(kind: str, prefix: str = "Handled", options: ServeOptions | None = None) -> BackendServer:
    backend, app = KINDS[kind]
    return BackendServer(app, options, backend=backend.format(prefix))


def test_a_reply_goes_the_way_of_all_answers(kind: str) -> None:
    options = ServeOptions(access_format='%(h)s "%(r)s" %(s)s %(B)s')
    with server(kind, options=options) as subject, subject.connect() as client:
        for _ in range(2):
            answer = client.get("/door")
            assert (answer.status, answer.body, answer["X-Peer"]) == (200, handlers.PAGE, "127.0.0.1")
            assert client.get("/hello").body == b"hello\n"
        answer = client.get("/door", method="HEAD")
        assert answer["Content-Length"] == str(len(handlers.PAGE))
        assert client.get("/door/large").body == handlers.LARGE + handlers.PAGE
        assert client.get("/door/file").body == b"<" + Path(handlers.__file__).read_bytes()[:100] + b">"
        empty = client.get("/door/empty")
        assert (empty.status, empty["ETag"], empty["Content-Length"]) == (304, '"1"', None)
        client.send(request("/door") + request("/hello") + request("/door/file"))
        bodies = [client.answer().body for _ in range(3)]
        assert bodies[:2] == [handlers.PAGE, b"hello\n"]
        eventually(lambda: subject.word(Word.REQUESTS) == 11)
        assert subject.word(Word.BUSY) == 0
        lines = subject.access_lines()
        assert lines[0] == f'127.0.0.1 "GET /door HTTP/1.1" 200 {len(handlers.PAGE)}'
        assert lines[4] == '127.0.0.1 "HEAD /door HTTP/1.1" 200 0'


def test_a_refusal_may_close_the_connection_or_keep_it(kind: str) -> None:
    with server(kind) as subject, subject.connect() as client:
        answer = client.get("/door/open")
        assert (answer.status, answer["Retry-After"], answer["Connection"]) == (503, "5", None)
        assert answer.body == b"503 Service Unavailable\ncome back later\n"
        client.send(request("/door/shut") + request("/hello"))
        answer = client.answer()
        assert (answer.status, answer["Retry-After"], answer["Connection"]) == (503, "5", "close")
        assert client.at_end()


def test_a_handler_is_asked_once_and_before_the_body(kind: str) -> None:
    with server(kind) as subject, subject.connect() as client:
        client.send(request("/door", "Content-Length: 1000", "Expect: 100-continue", method="POST"))
        answer = client.answer()
        assert (answer.status, answer["Connection"]) == (200, "close")
        client.send(b"x" * 1000)
        assert client.at_end()
        with subject.connect() as other:
            other.send(request("/echo", "Content-Length: 5", method="POST"))
            other.send(b"he")
            other.send(b"llo")
            assert other.answer().body == b"hello"
            assert other.post("/echo", b"hello").body == b"hello"
            assert other.post("/door", b"hello").body == handlers.PAGE
            other.send(
                request("/door", "Transfer-Encoding: chunked", method="POST") + b"1\r\nx\r\n0\r\n\r\n" * 1
            )
            assert other.answer().body == handlers.PAGE
            assert other.get("/door/count").body == b"6"


def test_a_body_that_is_broken_is_the_clients_fault(kind: str) -> None:
    with server(kind) as subject, subject.connect() as client:
        client.send(request("/door", "Transfer-Encoding: chunked", method="POST") + b"x\r\n")
        assert client.answer().status == 400
        assert client.at_end()


def test_a_handler_that_fails_costs_one_request(kind: str) -> None:
    with server(kind) as subject, subject.connect() as client:
        assert client.get("/door/broken").status == 500
        with subject.connect() as other:
            assert other.get("/hello").status == 200
        assert "GET /door/broken: Door failed" in subject.log()
        assert "this handler is broken" in subject.log()


def test_a_request_for_a_websocket_is_asked_about_as_well(kind: str) -> None:
    options = ServeOptions(threads=2) if kind == "wsgi" else ServeOptions()
    with server(kind, options=options) as subject, subject.connect() as client:
        answer = client.get("/door", *UPGRADE)
        assert (answer.status, answer.body, answer["Connection"]) == (200, handlers.PAGE, "close")
        assert client.at_end()


# ---- filters


def loud(client: Client, path: str, expected: bytes, size: object) -> None:
    answer = client.get(path)
    assert answer.body == expected
    assert answer["X-Size"] == str(size)
    quiet = client.get(path.partition("?")[0])
    assert quiet["X-Size"] == str(size)


def test_a_body_is_encoded_on_its_way(kind: str) -> None:
    with server(kind) as subject, subject.connect() as client:
        for _ in range(2):
            answer = client.get("/hello?loud")
            assert (answer.body, answer["X-Size"], answer["Content-Length"]) == (b"HELLO\n!", "6", "7")
            assert client.get("/big?loud").body == b"B" * (4 << 20) + b"!"
            stream = client.get("/stream?loud")
            assert (stream.body, stream["X-Size"]) == (b"X" * 50_000 + b"!", "None")
            assert client.get("/door?loud").status == 404, "the handler has no such path"
        head = client.get("/hello?loud", method="HEAD")
        assert (head.status, head["X-Size"], head["Content-Length"]) == (200, "6", None)
        assert client.get("/empty?loud").status == 204
        assert client.get("/hello").body == b"hello\n"


def test_a_filter_sees_the_answers_of_handlers_and_of_filters(kind: str) -> None:
    with server(kind) as subject, subject.connect() as client:
        assert client.get("/door")["X-Size"] == str(len(handlers.PAGE))
        answer = client.get("/teapot")
        assert (answer.status, answer.body, answer["X-Size"]) == (200, b"coffee", "6")
        assert (answer["X-Was"] or "").startswith("418 ")
        loud = client.get("/teapot?loud")
        assert (loud.status, loud.body) == (200, b"COFFEE!")
        assert client.get("/hello").status == 200


def test_a_failure_is_answered_without_filters(kind: str) -> None:
    with server(kind) as subject, subject.connect() as client:
        answer = client.get("/broken?loud")
        assert (answer.status, answer["X-Size"]) == (500, None)


# ---- connections


def test_connections_are_decided_on_before_anything_is_read(kind: str) -> None:
    with server(kind, "Guarded") as subject:
        for _ in range(3):
            with subject.connect() as client:
                assert client.get("/hello").status == 200
        with subject.connect() as client:
            answer = client.answer()
            assert (answer.status, answer.body) == (503, b"503 Service Unavailable\nenough\n")
            assert client.at_end()
