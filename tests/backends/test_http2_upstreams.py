# Paths that other servers answer (--proxy), asked for by HTTP/2: to them it is HTTP/1.1.

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from bigtop.backends.serve_options import ProxyOptions, ServeOptions
from bigtop.http.declarations import ProxyRoute
from bigtop.http.h2.error_codes import INTERNAL_ERROR
from bigtop.http.limits import Limits
from tests.support.backend_server import BackendServer, eventually
from tests.support.http2_client import Http2Client
from tests.support.played_server import PlayedConnection, PlayedServer

APPS = {"wsgi": "tests.apps.http2:app", "gevent": "tests.apps.http2:app", "asgi": "tests.apps.http2_asgi:app"}
BIG = 12 << 20  # bytes: far more than windows and buffers hold
END = b"0\r\n\r\n"


@pytest.fixture(scope="module")
def other() -> Iterator[PlayedServer]:
    with PlayedServer() as played:
        yield played


@pytest.fixture(scope="module", params=APPS)
def server(request: pytest.FixtureRequest, other: PlayedServer) -> Iterator[BackendServer]:
    if request.param == "gevent":
        pytest.importorskip("gevent", reason="pip install gevent")
    route = ProxyRoute("/other/", "127.0.0.1", other.port, "", "")
    options = ServeOptions(
        access_format='"%(r)s" %(s)s %(B)s',
        proxy=ProxyOptions((route, ProxyRoute("/closed/", "127.0.0.1", 1, "", ""))),
        limits=Limits(send_file=0, send_memory=65536, body=BIG),
    )
    with BackendServer(APPS[request.param], options, backend=request.param) as server:
        yield server


@pytest.fixture
def client(server: BackendServer, other: PlayedServer) -> Iterator[Http2Client]:
    with Http2Client(server.address) as client:
        yield client
    other.forget()


def asked(other: PlayedServer) -> tuple[PlayedConnection, str, dict[str, str]]:
    """Return the next connection, and what it asks for."""
    connection = other.accept()
    line, fields = connection.head()
    return connection, line, dict(fields)


def test_an_answer_beside_those_of_the_application(client: Http2Client, other: PlayedServer) -> None:
    fields = [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"), ("x-real-ip", "10.0.0.1")]
    stream = client.ask("/other/a%20b?c=%2F", headers=fields)
    connection, line, told = asked(other)
    with connection:
        assert line == "GET /other/a%20b?c=%2F HTTP/1.1"
        assert (told["host"], told["cookie"]) == ("localhost", "a=1; b=2")
        assert (told["x-forwarded-host"], told["x-real-ip"]) == ("localhost", "127.0.0.1")
        assert not {"te", "connection", "transfer-encoding", "content-length"} & told.keys()
        assert client.get("/hello").body == b"hello\n"
        connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        client.until(lambda: client.answers[stream].hints)
        connection.answer(b"ok", "X-A: 1", "Connection: close, X-Hop", "X-Hop: 1")
        answer = client.wait(stream)
    assert (answer.status, answer.body) == (200, b"ok")
    assert (answer.header("x-a"), answer.header("x-hop")) == ("1", None)
    assert answer.hints[0]["link"] == "</a.css>; rel=preload"


@pytest.mark.parametrize("length", [True, False])
def test_bodies_go_on_as_they_come(client: Http2Client, other: PlayedServer, length: bool) -> None:
    fields = [("content-length", "8")] if length else []
    stream = client.ask("/other/up", method="POST", headers=fields, body=b"abcd", ends=False)
    connection, line, told = asked(other)
    with connection:
        assert line == "POST /other/up HTTP/1.1"
        if length:
            assert told["content-length"] == "8"
            assert connection.exactly(4) == b"abcd"
        else:
            assert told["transfer-encoding"] == "chunked"
            assert "content-length" not in told
            assert connection.exactly(9) == b"4\r\nabcd\r\n"
        client.send(stream, b"efgh")
        assert connection.exactly(4 if length else 14) == (b"efgh" if length else b"4\r\nefgh\r\n" + END)
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        client.until(lambda: client.answers[stream].body == b"one")
        connection.send(b"3\r\ntwo\r\n" + END)
        assert client.wait(stream).body == b"onetwo"


def test_large_bodies_both_ways(client: Http2Client, other: PlayedServer) -> None:
    body = bytes(range(256)) * (BIG // 256)

    def echo() -> None:
        connection, _, _ = asked(other)
        with connection:
            came = connection.exactly(BIG)
            connection.answer(came, "Connection: close")

    echoing = threading.Thread(target=echo)
    echoing.start()
    answer = client.get("/other/up", method="POST", body=body)
    echoing.join(30)
    assert (answer.status, len(answer.body), answer.body == body) == (200, BIG, True)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_answers_without_a_body(client: Http2Client, other: PlayedServer, method: str, status: int) -> None:
    stream = client.ask("/other/", method=method)
    connection, _, _ = asked(other)
    with connection:
        connection.send(b"HTTP/1.1 %d X\r\nConnection: close\r\n\r\n" % status)
        answer = client.wait(stream)
    assert (answer.status, answer.body, answer.reset) == (status, b"", None)


def test_what_is_no_answer(client: Http2Client, other: PlayedServer) -> None:
    stream = client.ask("/other/")
    connection, _, _ = asked(other)
    with connection:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok")
        answer = client.wait(stream)
    assert (answer.status, b"127.0.0.1" in answer.body) == (502, False)
    assert client.get("/closed/").status == 502


def test_half_an_answer_is_reset_and_nothing_else(client: Http2Client, other: PlayedServer) -> None:
    stream = client.ask("/other/")
    connection, _, _ = asked(other)
    with connection:
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhal\r\n")
        client.until(lambda: client.answers[stream].body == b"hal")
    client.until(lambda: client.answers[stream].reset is not None)
    assert client.answers[stream].reset == INTERNAL_ERROR
    assert client.get("/hello").status == 200


def test_who_gives_a_stream_up_leaves_the_other_server(
    client: Http2Client, other: PlayedServer, server: BackendServer
) -> None:
    stream = client.ask("/other/given-up", method="POST", body=b"abcd", ends=False)
    connection, _, _ = asked(other)
    with connection:
        assert connection.exactly(9) == b"4\r\nabcd\r\n"
        client.reset(stream)
        assert connection.at_end()
    assert client.get("/hello").status == 200
    line = '"POST /other/given-up HTTP/2.0" 499'
    eventually(lambda: any(line in one for one in server.access_lines()), what="it is in the access log")


def test_who_reads_nothing_holds_the_other_server_back(
    server: BackendServer, other: PlayedServer, client: Http2Client
) -> None:
    with Http2Client(server.address, reads=False) as slow:
        stream = slow.ask("/other/")
        connection, _, _ = asked(other)
        with connection:
            connection.socket.setblocking(False)
            connection.socket.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG)
            sent = 0
            try:
                while sent < BIG:
                    sent += connection.socket.send(bytes(min(65536, BIG - sent)))
            except BlockingIOError:
                pass
            assert client.get("/hello").status == 200, "others are not held up"
            connection.socket.settimeout(30)
            sender = threading.Thread(target=connection.socket.sendall, args=(bytes(BIG - sent),))
            sender.start()
            slow._reads = True
            slow.spoken.increment_flow_control_window(1 << 24)
            slow.spoken.increment_flow_control_window(1 << 24, stream)
            slow.flush()
            assert len(slow.wait(stream).body) == BIG
            sender.join(30)


@pytest.mark.parametrize("name", ["wsgi", "asgi"])
def test_a_drain_waits_for_the_answer(other: PlayedServer, name: str) -> None:
    options = ServeOptions(proxy=ProxyOptions((ProxyRoute("/other/", "127.0.0.1", other.port, "", ""),)))
    with (
        BackendServer(APPS[name], options, backend=name) as server,
        Http2Client(server.address) as client,
    ):
        stream = client.ask("/other/")
        connection, _, _ = asked(other)
        with connection:
            server.drain()
            client.until(lambda: client.goaways)
            connection.answer(b"last")
            assert client.wait(stream).body == b"last"
        client.socket.close()
        assert server.wait() == 0
