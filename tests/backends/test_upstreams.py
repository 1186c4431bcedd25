# Paths that other servers answer (--proxy), with both native servers and gevent: the test plays the other
# server, so that each byte and each pause is known.

from __future__ import annotations

import hashlib
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bigtop.backends import registry
from bigtop.backends.serve_options import Gates, ProxyOptions, ServeOptions
from bigtop.errors import ConfigError
from bigtop.http.declarations import Mount, ProxyRoute
from bigtop.http.limits import Limits
from bigtop.record import replace
from tests.http.test_gates import SHA256
from tests.support.backend_server import BackendServer, Steps, eventually, in_time
from tests.support.played_server import PlayedConnection, PlayedServer
from tests.support.wire import Client, Closed, request

APPS = {
    "wsgi": "tests.apps.wsgi_basic:app",
    "asgi": "tests.apps.asgi_basic:app",
    "gevent": "tests.apps.wsgi_basic:app",
}
ACCESS = '"%(r)s" %(s)s %(B)s %({x-request-id}i)s'
BIG = 24 << 20  # bytes: far more than all buffers on the way


def routes_to(port: int, socket: str) -> tuple[ProxyRoute, ...]:
    return (
        ProxyRoute("/other/", "127.0.0.1", port, "", ""),
        ProxyRoute("/other/inner", "127.0.0.1", port, "", "/base/"),
        ProxyRoute("/named", "localhost", port, "", ""),
        ProxyRoute("/socket/", "", 0, socket, ""),
        ProxyRoute("/closed/", "127.0.0.1", 1, "", ""),
    )


@pytest.fixture(scope="module")
def other() -> Iterator[PlayedServer]:
    with PlayedServer() as played:
        yield played


@pytest.fixture(scope="module")
def other_socket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("other") / "s"


@pytest.fixture(scope="module")
def at_socket(other_socket: Path) -> Iterator[PlayedServer]:
    with PlayedServer(other_socket) as played:
        yield played


@pytest.fixture(scope="module", params=APPS)
def server(
    request: pytest.FixtureRequest, other: PlayedServer, at_socket: PlayedServer, other_socket: Path
) -> Iterator[BackendServer]:
    options = ServeOptions(
        access_format=ACCESS,
        proxy=ProxyOptions(routes_to(other.port, str(other_socket)), timeout=20),
        limits=Limits(send_file=0, send_memory=65536),
    )
    if request.param == "gevent":
        pytest.importorskip("gevent", reason="pip install gevent")
    with BackendServer(APPS[request.param], options, backend=request.param, fresh=True) as server:
        yield server


@pytest.fixture
def client(server: BackendServer, other: PlayedServer) -> Iterator[Client]:
    with server.connect() as client:
        yield client
    other.forget()


def served(other: PlayedServer, body: bytes = b"ok", *fields: str) -> tuple[str, list[tuple[str, str]]]:
    """Answer one request, on a connection of its own; return its head."""
    with other.accept() as asked:
        head = asked.head()
        asked.answer(body, "Connection: close", *fields)
    return head


def values(fields: list[tuple[str, str]], name: str) -> list[str]:
    return [value for key, value in fields if key == name]


def user(name: str, password: str) -> str:
    return "Authorization: Basic " + b64encode(f"{name}:{password}".encode()).decode()


# ---- heads


def test_what_the_other_server_is_told(client: Client, other: PlayedServer) -> None:
    client.send(
        request(
            "/other/a%20b?c=%2F",
            *("Accept: */*", "X-Twice: 1", "X-Twice: 2", "Cookie: a=b", "Connection: keep-alive, X-Hop"),
            *("X-Hop: 1", "Keep-Alive: 5", "TE: trailers", "X_Under: 1", "X-Forwarded-For: 192.0.2.7"),
        )
    )
    line, fields = served(other)
    assert line == "GET /other/a%20b?c=%2F HTTP/1.1"
    names = [name for name, _ in fields]
    assert not {"x-hop", "keep-alive", "te", "x_under", "connection", "transfer-encoding"} & set(names)
    assert values(fields, "host") == ["test"]
    assert values(fields, "x-twice") == ["1", "2"]
    assert values(fields, "cookie") == ["a=b"]
    # The loopback is believed, so the list goes on.
    assert values(fields, "x-forwarded-for") == ["192.0.2.7, 127.0.0.1"]
    assert values(fields, "x-real-ip") == ["192.0.2.7"]
    assert values(fields, "x-forwarded-proto") == ["http"]
    assert values(fields, "x-forwarded-host") == ["test"]
    assert values(fields, "forwarded") == ['for=127.0.0.1;proto=http;host="test"']
    assert len(values(fields, "x-request-id")) == 1
    answer = client.answer()
    assert (answer.status, answer.body) == (200, b"ok")


def test_what_the_client_is_told(client: Client, other: PlayedServer, server: BackendServer) -> None:
    client.send(request("/other/", "X-Request-ID: from-a-proxy"))
    fields = ("Server: secret", "Keep-Alive: 5", "X-A: 1", "Set-Cookie: a=1", "Set-Cookie: b=2", "X-A: 2")
    served(other, b"body", *fields, "Date: Thu, 01 Jan 1970 00:00:00 GMT")
    answer = client.answer()
    assert answer.body == b"body"
    assert [value for name, value in answer.headers if name == "Set-Cookie"] == ["a=1", "b=2"]
    assert [value for name, value in answer.headers if name == "X-A"] == ["1", "2"]
    assert answer["Server"] == "bigtop"
    assert answer["Date"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert answer["Connection"] is None
    assert answer["Keep-Alive"] is None
    line = '"GET /other/ HTTP/1.1" 200 4 from-a-proxy'
    eventually(lambda: line in server.access_lines(), what="the request is in the access log")


def test_a_unix_socket(client: Client, at_socket: PlayedServer) -> None:
    client.send(request("/socket/x", version="1.0"))
    line, _ = served(at_socket)
    assert line == "GET /socket/x HTTP/1.1"
    assert client.answer().body == b"ok"


def test_a_path_in_the_url_takes_the_place_of_the_prefix(client: Client, other: PlayedServer) -> None:
    for target, asked in (
        ("/other/inner/a?b", "/base/a?b"),
        ("/other/inner", "/base/"),
        ("http://test/other/inner/c", "/base/c"),
        ("/other/innermost", "/other/innermost"),
        ("/%6fther/i%6Ener/%7Ea%2Fb", "/base/~a%2Fb"),
    ):
        client.send(request(target))
        assert served(other)[0] == f"GET {asked} HTTP/1.1"
        assert client.answer().status == 200


def test_a_name_is_looked_up(client: Client, other: PlayedServer) -> None:
    client.send(request("/named"))
    assert served(other)[0] == "GET /named HTTP/1.1"
    assert client.answer().body == b"ok"


@pytest.mark.parametrize(
    "path", ["/other/../x", "/other/%2e%2e/x", "/other/a/..%2fx", "/other/./x", "/other/..;/x"]
)
def test_a_path_that_climbs_is_not_passed_on(client: Client, path: str) -> None:
    assert client.get(path).status == 400


def test_other_paths_are_the_applications(client: Client) -> None:
    assert client.get("/hello").status == 200
    assert client.get("/others").status == 404


# ---- bodies


@pytest.mark.parametrize(
    ("head", "sent"),
    [
        (["Content-Length: 10"], b"0123456789"),
        (["Transfer-Encoding: chunked"], b"4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n"),
    ],
)
def test_a_body_goes_on_as_it_comes(
    client: Client, other: PlayedServer, head: list[str], sent: bytes
) -> None:
    client.send(request("/other/up", *head, method="POST") + sent[:7])
    with other.accept() as asked:
        line, fields = asked.head()
        assert line == "POST /other/up HTTP/1.1"
        if "chunked" in head[0]:
            assert values(fields, "transfer-encoding") == ["chunked"]
            assert asked.until(b"\r\n0123") == b"4"
            client.send(sent[7:])
            assert asked.until(b"0\r\n\r\n").replace(b"\r\n", b"").startswith(b"6456789")
        else:
            assert values(fields, "content-length") == ["10"]
            assert asked.exactly(7) == sent[:7]
            client.send(sent[7:])
            assert asked.exactly(3) == sent[7:]
        asked.answer(b"done")
        assert client.answer().body == b"done"
    assert client.get("/hello").status == 200, "the connection goes on"


def test_a_large_body_that_comes_with_its_head(client: Client, other: PlayedServer) -> None:
    body = b"0123456789" * 5000
    client.send(request("/other/up", f"Content-Length: {len(body)}", method="POST") + body)
    with other.accept() as asked:
        asked.head()
        assert asked.exactly(len(body)) == body
        asked.answer(b"done")
        assert client.answer().body == b"done"


def test_who_expects_100_is_asked_to_go_on(client: Client, other: PlayedServer) -> None:
    client.send(request("/other/", "Content-Length: 2", "Expect: 100-continue", method="PUT"))
    assert client.answer().status == 100
    client.send(b"hi")
    with other.accept() as asked:
        assert not values(asked.head()[1], "expect")
        assert asked.exactly(2) == b"hi"
        asked.answer()
        assert client.answer().status == 200


def test_an_answer_comes_as_it_is_made(client: Client, other: PlayedServer) -> None:
    client.send(request("/other/stream"))
    with other.accept() as asked:
        asked.head()
        asked.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        assert b"text/event-stream" in client._until(b"\r\n\r\n")
        asked.send(b"3\r\none\r\n")
        assert client._until(b"one\r\n") == b"3\r\n"
        asked.send(b"3\r\ntwo\r\n0\r\nX-Trailer: 1\r\n\r\n")
        assert client._until(b"0\r\n\r\n") == b"3\r\ntwo\r\n"


def test_answers_without_a_body(client: Client, other: PlayedServer) -> None:
    with_no_body = [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", 200),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", 304),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200),
    ]
    with other_connection(client, other, "GET") as asked:
        asked.answer()
        assert client.answer().status == 200
        for method, answer, status in with_no_body:
            client.send(request("/other/", method=method))
            asked.head()
            asked.send(answer)
            assert client.answer(head_only=method == "HEAD").status == status


def other_connection(client: Client, other: PlayedServer, method: str) -> PlayedConnection:
    """Make a request; return the connection on which it came, behind its head."""
    client.send(request("/other/", method=method))
    asked = other.accept()
    asked.head()
    return asked


def test_an_answer_that_ends_with_the_connection(client: Client, other: PlayedServer) -> None:
    with other_connection(client, other, "GET") as asked:
        asked.send(b"HTTP/1.0 200 OK\r\n\r\nall of ")
        asked.send(b"it")
    assert client.answer().body == b"all of it"


def test_answers_on_the_way(client: Client, other: PlayedServer) -> None:
    with other_connection(client, other, "GET") as asked:
        asked.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        hint = client.answer()
        assert (hint.status, hint["Link"]) == (103, "</a.css>; rel=preload")
        asked.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        asked.answer(b"ok", "Connection: close")
        assert client.answer().status == 200


def peak(server: BackendServer) -> int:
    """Return the most memory that the server ever had, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_who_reads_slowly_holds_the_other_server_back(
    client: Client, other: PlayedServer, server: BackendServer
) -> None:
    before = peak(server)
    with other_connection(client, other, "GET") as asked:
        body = bytes(range(256)) * (BIG // 256)
        sender = threading.Thread(target=asked.answer, args=(body, "Connection: close"))
        sender.start()
        with server.connect() as stranger:  # who is not held up
            assert stranger.get("/hello").status == 200
        answer = client.answer()
        sender.join(30)
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()
    assert peak(server) - before < BIG // 2


def test_a_server_that_reads_slowly_holds_the_client_back(
    client: Client, other: PlayedServer, server: BackendServer
) -> None:
    before = peak(server)
    body = bytes(range(256)) * (BIG // 256)
    client.send(request("/other/up", f"Content-Length: {len(body)}", method="POST"))
    sender = threading.Thread(target=client.send, args=(body,))
    sender.start()
    with other.accept() as asked:
        asked.head()
        with server.connect() as stranger:
            assert stranger.get("/hello").status == 200
        assert asked.exactly(len(body)) == body
        sender.join(30)
        asked.answer()
        assert client.answer().status == 200
    assert peak(server) - before < BIG // 2


def test_an_answer_before_the_body_is_there(client: Client, other: PlayedServer) -> None:
    client.send(request("/other/", "Content-Length: 1000", method="POST") + b"x")
    with other.accept() as asked:
        asked.head()
        assert asked.exactly(1) == b"x"
        asked.answer(b"too large", status="413 Content Too Large")
        answer = client.answer()
        assert (answer.status, answer.body) == (413, b"too large")
        assert answer["Connection"] == "close"
        assert asked.at_end(), "the connection cannot be used again"


# ---- connections to the other server


def test_a_connection_is_used_again(client: Client, other: PlayedServer, server: BackendServer) -> None:
    with other_connection(client, other, "GET") as asked, server.connect() as second:
        asked.answer()
        assert client.answer().status == 200
        second.send(request("/other/2"))
        assert asked.head()[0] == "GET /other/2 HTTP/1.1"
        asked.answer()
        assert second.answer().status == 200
        # What cannot be repeated goes over a new one, which serves others afterwards.
        client.send(request("/other/3", "Content-Length: 1", method="POST") + b"x")
        with other.accept() as new:
            assert new.head()[0] == "POST /other/3 HTTP/1.1"
            assert new.exactly(1) == b"x"
            new.answer()
            assert client.answer().status == 200
            client.send(request("/other/4"))
            assert new.head()[0] == "GET /other/4 HTTP/1.1"
            new.answer()
            assert client.answer().status == 200


def test_a_request_is_repeated_where_that_is_safe(client: Client, other: PlayedServer) -> None:
    with other_connection(client, other, "GET") as asked:
        asked.answer()
        assert client.answer().status == 200
        client.send(request("/other/again", "Content-Length: 2", method="PUT") + b"hi")
        asked.head()
        assert asked.exactly(2) == b"hi"
    with other.accept() as new:
        assert new.head()[0] == "PUT /other/again HTTP/1.1"
        assert new.exactly(2) == b"hi"
        new.answer(b"twice", "Connection: close")
        assert client.answer().body == b"twice"


def test_a_request_is_not_repeated_behind_the_first_byte(client: Client, other: PlayedServer) -> None:
    with other_connection(client, other, "GET") as asked:
        asked.answer()
        assert client.answer().status == 200
        client.send(request("/other/"))
        asked.head()
        asked.send(b"H")
    assert client.answer().status == 502


def test_a_server_that_breaks_on_a_request_is_not_asked_again(client: Client, other: PlayedServer) -> None:
    other_connection(client, other, "GET").close()
    assert client.answer().status == 502


def test_bytes_behind_an_answer_are_nobodys(client: Client, other: PlayedServer) -> None:
    with other_connection(client, other, "GET") as asked:
        asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n")
        assert client.answer().body == b"ok"
        assert asked.at_end()
    with other_connection(client, other, "GET") as asked:
        asked.answer()
        assert client.answer().status == 200
        asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        assert asked.at_end()
    client.send(request("/other/"))
    served(other, b"mine")
    assert client.answer().body == b"mine"


# ---- what goes wrong


@pytest.mark.parametrize(
    "answer",
    [
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n",
    ],
)
def test_what_is_no_answer_is_a_502(client: Client, other: PlayedServer, answer: bytes) -> None:
    with other_connection(client, other, "GET") as asked:
        asked.send(answer)
        assert client.answer().status == 502
        assert asked.at_end()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhal\r\n",
    ],
)
def test_half_an_answer_does_not_look_like_a_whole_one(
    client: Client, other: PlayedServer, answer: bytes
) -> None:
    with other_connection(client, other, "GET") as asked:
        asked.send(answer)
    with pytest.raises((Closed, ConnectionResetError)):
        client.answer()


def test_a_fault_behind_the_head_breaks_the_answer_off(client: Client, other: PlayedServer) -> None:
    with other_connection(client, other, "GET") as asked:
        asked.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhal\r\n")
        client._until(b"hal\r\n")
        asked.send(b"evil\r\n")
        assert client.at_end()


def test_a_server_that_is_not_there(client: Client, server: BackendServer) -> None:
    answer = client.get("/closed/")
    assert answer.status == 502
    assert b"127.0.0.1" not in answer.body
    line = "GET /closed/ is answered with 502: upstream http://127.0.0.1:1: cannot be connected to"
    eventually(lambda: line in server.log(), what="the log names the server")


def test_a_body_that_breaks_http(client: Client, other: PlayedServer) -> None:
    client.send(request("/other/", "Transfer-Encoding: chunked", method="POST") + b"2\r\nhi\r\n")
    with other.accept() as asked:
        asked.head()
        assert asked.exactly(7) == b"2\r\nhi\r\n"
        client.send(b"x\r\n")
        assert client.answer().status == 400
        assert asked.at_end()


def test_a_client_that_leaves_in_its_body(client: Client, other: PlayedServer) -> None:
    client.send(request("/other/", "Content-Length: 10", method="POST") + b"x")
    with other.accept() as asked:
        asked.head()
        assert asked.exactly(1) == b"x"
        client.close()
        assert asked.at_end()


def test_a_client_that_leaves_a_stream(client: Client, other: PlayedServer) -> None:
    with other_connection(client, other, "GET") as asked:
        asked.send(b"HTTP/1.1 200 OK\r\n\r\nfirst")
        assert client._until(b"\r\n\r\n")
        client.close()
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
            asked.send(b"more" * BIG)


# ---- other protocols

UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: a", "Sec-WebSocket-Version: 13")
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Accept: b\r\n\r\n"
)


def test_a_websocket_is_passed_on_byte_by_byte(client: Client, other: PlayedServer) -> None:
    client.send(request("/other/ws", *UPGRADE) + b"early")
    with other.accept() as asked:
        line, fields = asked.head()
        assert line == "GET /other/ws HTTP/1.1"
        assert values(fields, "upgrade") == ["websocket"]
        assert values(fields, "connection") == ["Upgrade"]
        assert values(fields, "sec-websocket-key") == ["a"]
        asked.send(SWITCH + b"hello")
        answer = client.answer()
        assert (answer.status, answer["Upgrade"], answer["Connection"]) == (101, "websocket", "Upgrade")
        assert answer["Sec-WebSocket-Accept"] == "b"
        assert client._exactly(5) == b"hello"
        assert asked.exactly(5) == b"early"
        big = b"x" * (1 << 20)
        sender = threading.Thread(target=client.send, args=(big,))
        sender.start()
        assert asked.exactly(len(big)) == big
        sender.join(30)
        sender = threading.Thread(target=asked.send, args=(big,))
        sender.start()
        assert client._exactly(len(big)) == big
        sender.join(30)
        asked.close()
        assert client.at_end()


def test_a_websocket_ends_with_its_client(client: Client, other: PlayedServer) -> None:
    client.send(request("/other/ws", *UPGRADE))
    with other.accept() as asked:
        asked.head()
        asked.send(SWITCH)
        assert client.answer().status == 101
        client.close()
        assert asked.at_end()


def test_a_websocket_that_is_refused(client: Client, other: PlayedServer) -> None:
    client.send(request("/other/ws", *UPGRADE))
    with other.accept() as asked:
        asked.head()
        asked.answer(b"no", status="403 Forbidden")
        answer = client.answer()
        assert (answer.status, answer.body, answer["Connection"]) == (403, b"no", "close")


# ---- limits, and what an application has to do with it

LIMITED = ProxyOptions(timeout=0.4, connect_timeout=0.4, connections=1)


@pytest.fixture(scope="module", params=APPS)
def limited(request: pytest.FixtureRequest, other: PlayedServer) -> Iterator[BackendServer]:
    if request.param == "gevent":
        pytest.importorskip("gevent", reason="pip install gevent")
    options = ServeOptions(proxy=replace(LIMITED, routes=routes_to(other.port, "/nowhere")))
    with BackendServer(APPS[request.param], options, backend=request.param) as server:
        yield server


def test_a_socket_that_is_not_there(limited: BackendServer) -> None:
    with limited.connect() as client:
        assert client.get("/socket/").status == 502
        client.close()
    with limited.connect() as client:
        assert client.post("/socket/", b"x").status == 502


def test_a_server_that_does_not_answer(limited: BackendServer, other: PlayedServer) -> None:
    with limited.connect() as client, other_connection(client, other, "GET") as asked:
        assert client.answer().status == 504
        assert asked.at_end()
    other.forget()


def test_a_server_that_stops_in_its_answer(limited: BackendServer, other: PlayedServer) -> None:
    def stops(step: Steps) -> None:
        other.forget()
        step()
        with limited.connect() as client, other_connection(client, other, "GET") as asked:
            step()
            asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal")
            assert b"200 OK" in client._until(b"\r\n\r\n")
            step()
            with suppress(ConnectionResetError):
                assert client.rest() == b"hal"
            assert asked.at_end()

    in_time(LIMITED.timeout, stops)
    other.forget()


def test_a_request_waits_for_its_turn_and_not_for_ever(limited: BackendServer, other: PlayedServer) -> None:
    def turns(step: Steps) -> None:
        other.forget()
        with limited.connect() as first, limited.connect() as second, limited.connect() as third:
            step()
            first.send(request("/other/1"))
            with other.accept() as asked:
                asked.head()
                asked.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                assert b"200 OK" in first._until(b"\r\n\r\n")
                step()
                second.send(request("/other/2"))
                while not second.is_answered():  # so that the clock of an answer does not run out
                    asked.send(b"1\r\nx\r\n")
                    first._until(b"x\r\n")
                    step()
                assert second.answer().status == 503
                third.send(request("/other/3"))
                asked.send(b"0\r\n\r\n")
                assert asked.head()[0] == "GET /other/3 HTTP/1.1"
                asked.answer()
                step()
                assert third.answer().status == 200

    in_time(LIMITED.timeout, turns)
    other.forget()


@pytest.mark.parametrize("name", ["wsgi", "asgi"])
def test_answers_pass_filters(other: PlayedServer, tmp_path: Path, name: str) -> None:
    (tmp_path / "a.txt").write_text("from a file")
    mounts = (Mount("/files/", str(tmp_path)),)
    options = ServeOptions(proxy=ProxyOptions(routes_to(other.port, "/nowhere")), sendfile_roots=mounts)
    with BackendServer(APPS[name], options, backend=name) as server, server.connect() as client:
        client.send(request("/other/"))
        served(other, b"", "X-Accel-Redirect: /files/a.txt", "Content-Type: text/plain")
        assert client.answer().body == b"from a file"
        client.send(request("/other/"))
        served(other, b"its own")
        assert client.answer().body == b"its own"
        with other_connection(client, other, "GET") as asked:
            asked.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            assert b"200 OK" in client._until(b"\r\n\r\n")
            asked.send(b"1\r\nx\r\n0\r\n\r\n")
            assert client._until(b"0\r\n\r\n") == b"1\r\nx\r\n"


@pytest.mark.parametrize("name", ["wsgi", "asgi"])
def test_it_takes_no_slot_of_the_application(other: PlayedServer, name: str) -> None:
    options = ServeOptions(proxy=ProxyOptions(routes_to(other.port, "/nowhere")), limit_concurrency=1)
    with (
        BackendServer(APPS[name], options, backend=name) as server,
        server.connect() as client,
        server.connect() as second,
        server.connect() as third,
    ):
        with other_connection(client, other, "GET") as asked:
            assert second.get("/hello").status == 200, "the other server's slowness is nobody else's"
            gate = server.hold(third)
            asked.answer(b"ok", "Connection: close")
            assert client.answer().status == 200, "nor is the application's"
        second.send(request("/other/2"))
        served(other)
        assert second.answer().status == 200
        gate.open()
        assert third.answer().status == 200


@pytest.mark.parametrize("name", APPS)
def test_a_drain_waits_for_answers_and_ends_websockets(other: PlayedServer, name: str) -> None:
    if name == "gevent":
        pytest.importorskip("gevent", reason="pip install gevent")
    options = ServeOptions(proxy=ProxyOptions(routes_to(other.port, "/nowhere")))
    with (
        BackendServer(APPS[name], options, backend=name) as server,
        server.connect() as client,
        server.connect() as talker,
        server.connect() as late,
    ):
        talker.send(request("/other/ws", *UPGRADE))
        with other.accept() as talked, other_connection(client, other, "GET") as asked:
            talked.head()
            talked.send(SWITCH)
            assert talker.answer().status == 101
            late.send(request("/other/ws", *UPGRADE))
            with other.accept() as too_late:
                too_late.head()
                server.drain()
                for one, its in ((talker, talked), (late, too_late)):
                    if one is late:
                        too_late.send(SWITCH)
                        assert late.answer().status == 101
                    assert one._exactly(4) == b"\x88\x02\x03\xf4", "1012, service restart"
                    assert one.at_end()
                    head, mask = its.exactly(2), its.exactly(4)
                    code = bytes(x ^ y for x, y in zip(its.exactly(2), mask, strict=False))
                    assert (head, code) == (b"\x88\x82", b"\x03\xe9"), "1001, going away"
                    assert its.at_end()
            asked.answer(b"last")
            answer = client.answer()
            assert (answer.status, answer.body, answer["Connection"]) == (200, b"last", "close")
            assert client.at_end()
            client.close()
            talker.close()
            late.close()
            assert server.wait() == 0


@pytest.mark.parametrize("name", ["wsgi", "asgi"])
def test_a_websocket_ends_behind_the_frame_that_is_under_way(other: PlayedServer, name: str) -> None:
    options = ServeOptions(proxy=ProxyOptions(routes_to(other.port, "/nowhere")))
    with BackendServer(APPS[name], options, backend=name) as server, server.connect() as client:
        client.send(request("/other/ws", *UPGRADE))
        with other.accept() as asked:
            asked.head()
            asked.send(SWITCH + b"\x81\x03one\x82\x7e\x01\x00" + bytes(100))
            assert client.answer().status == 101
            assert client._exactly(109) == b"\x81\x03one\x82\x7e\x01\x00" + bytes(100)
            client.send(b"\x81\x83\0\0")  # a frame is under way there, too
            assert asked.exactly(4) == b"\x81\x83\0\0"
            server.drain()
            asked.send(bytes(155))
            assert client._exactly(155) == bytes(155)
            asked.send(b"\0\x81\x05never")
            assert client._exactly(5) == b"\0\x88\x02\x03\xf4"
            assert client.at_end()
            assert asked.at_end()
        client.close()
        assert server.wait() == 0


@pytest.mark.parametrize("name", APPS)
def test_what_is_cut_off_at_the_end_is_in_the_access_log(other: PlayedServer, name: str) -> None:
    if name == "gevent":
        pytest.importorskip("gevent", reason="pip install gevent")
    options = ServeOptions(proxy=ProxyOptions(routes_to(other.port, "/nowhere")), access_format=ACCESS)
    with BackendServer(APPS[name], options, backend=name) as server, server.connect() as client:
        with other_connection(client, other, "GET") as asked:
            server.drain(grace=0.1)
            assert asked.at_end()
        with pytest.raises((Closed, ConnectionResetError)):
            client.answer()
        server.wait()
        assert any('"GET /other/ HTTP/1.1" 499' in line for line in server.access_lines())


def test_foreign_backends_refuse_it() -> None:
    options = ServeOptions(proxy=ProxyOptions(routes_to(1, "/nowhere")))
    with pytest.raises(ConfigError, match="backend 'wsgiref' does not support --proxy"):
        registry.require(registry.load("wsgiref"), interface="wsgi", options=options)


@pytest.mark.parametrize("name", APPS)
def test_passwords_are_asked_for_first(other: PlayedServer, tmp_path: Path, name: str) -> None:
    """Each name is one of which nothing is known yet."""
    if name == "gevent":
        pytest.importorskip("gevent", reason="pip install gevent")
    users = tmp_path / "users"
    users.write_text("".join(f"{one}:{SHA256}\n" for one in ("anna", "bert", "carl")))
    options = ServeOptions(
        proxy=ProxyOptions(routes_to(other.port, "/nowhere")), gates=Gates(users=str(users)), threads=2
    )
    with BackendServer(APPS[name], options, backend=name) as server, server.connect() as client:
        assert client.get("/other/").status == 401
        for _ in range(2):  # found out, and remembered
            assert client.get("/other/", user("anna", "wrong")).status == 401
        anna = user("anna", "secret")
        client.send(request("/other/", anna, "Content-Length: 4", method="POST") + b"bo")
        with other.accept() as asked:
            assert values(asked.head()[1], "authorization") == [anna.partition(": ")[2]]
            client.send(b"dy")
            assert asked.exactly(4) == b"body"
            asked.answer(b"found out")
        assert client.answer().body == b"found out"
        client.send(request("/other/", anna))
        served(other, b"remembered")
        assert client.answer().body == b"remembered"
        # The application's.
        assert client.get("/hello", user("bert", "secret")).body == b"Hello World\n"
        assert client.post("/echo", b"sent", user("carl", "secret")).body == b"sent"
        assert client.post("/echo", b"sent", user("carl", "wrong")).status == 401
