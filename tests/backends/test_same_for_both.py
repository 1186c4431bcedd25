# What both native servers do alike, on the wire: the fields, paths and methods that reach an application,
# with WSGI in threads and greenlets, with ASGI, and with WSGI below ASGI (--mount).

from __future__ import annotations

import json
import select
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from bigtop.backends.serve_options import ServeOptions
from bigtop.http.declarations import Mount
from bigtop.http.limits import Limits
from bigtop.ipc.scoreboard import Word
from tests.apps import faulty
from tests.backends.test_conformance import INSTALLED, features
from tests.support.backend_server import BackendServer, SharedServers, eventually, stopped
from tests.support.wire import Answer, Client, request

KINDS = {
    "wsgi": ("wsgi", "tests.apps.shown:wsgi"),
    "gevent": ("gevent", "tests.apps.shown:wsgi"),
    "asgi": ("asgi", "tests.apps.shown:asgi"),
    "mounted": ("asgi", "tests.apps.shown:mounted"),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def server(kind: str, module: str = "shown", **options: Any) -> BackendServer:
    backend, app = KINDS[kind]
    return BackendServer(app.replace("shown", module), ServeOptions(**options), backend=backend)


@pytest.fixture(scope="module")
def servers() -> Iterator[SharedServers]:
    with SharedServers() as servers:
        yield servers


@pytest.fixture
def shared(servers: SharedServers) -> Callable[..., AbstractContextManager[BackendServer]]:
    """server() for tests that leave it as it was."""

    def of(kind: str, module: str = "shown", **options: Any) -> AbstractContextManager[BackendServer]:
        backend, app = KINDS[kind]
        return servers.of(app.replace("shown", module), ServeOptions(**options), backend=backend)

    return of


Shared = Callable[..., AbstractContextManager[BackendServer]]


def told(answer: Answer) -> dict[str, str]:
    assert answer.status == 200, answer
    made: dict[str, str] = json.loads(answer.body)
    return made


def ask(client: Client, first: bytes, *lines: bytes) -> Answer:
    client.send(b"\r\n".join([first + b" HTTP/1.1", b"Host: test", *lines, b"", b""]))
    return client.answer()


SAID = (b"X-Forwarded-Proto: https", b"Forwarded: for=1.2.3.4", b"X-Real-IP: 1.2.3.4", b"access_token: a")


@pytest.mark.case("E7")
@pytest.mark.case("A11")
def test_fields_of_strangers_and_of_proxies(kind: str) -> None:
    with server(kind, forwarded_allow_ips=()) as strict, strict.connect() as client:
        for _ in range(2):  # the second header is known
            made = told(ask(client, b"GET /", *SAID, b"X-Request-ID: 4f", b"X-Own: b"))
            assert made["wsgi.url_scheme"] == "http"
            assert [key for key in made if key.startswith("HTTP_")] == [
                key for key in made if key in ("HTTP_HOST", "HTTP_X_OWN", "HTTP_X_REQUEST_ID")
            ]
            assert made["HTTP_X_REQUEST_ID"] not in ("", "4f")
    with server(kind, forwarder_headers=("access_token",)) as trusting, trusting.connect() as client:
        made = told(ask(client, b"GET /", *SAID, b"X-Request-ID: 4f"))
        assert (made["wsgi.url_scheme"], made["HTTP_X_REAL_IP"]) == ("https", "1.2.3.4")
        assert (made["HTTP_ACCESS_TOKEN"], made["HTTP_X_REQUEST_ID"]) == ("a", "4f")


def test_the_access_log_believes_nobody_but_proxies(kind: str) -> None:
    for proxies, logged in ((("127.0.0.1",), "203.0.113.9"), ((), "127.0.0.1")):
        with server(kind, access_format="%(h)s", forwarded_allow_ips=proxies) as one, one.connect() as client:
            ask(client, b"GET /", b"X-Forwarded-For: 203.0.113.9")
            ask(client, b"GET /")
            assert one.access_lines()[0] == logged


REFUSED = {
    "no host": ((b"GET /a?b HTTP/1.1\r\n\r\n",), 400, "GET /a?b HTTP/1.1"),
    "in pieces": ((b"PUT /x HTTP/1.1\r\nHo", b"st: a\r\nHost: b\r\n\r\n"), 400, "PUT /x HTTP/1.1"),
    "no request": ((b'\x16\x03\x01 "\r\n\r\n',), 400, r"\x16\x03\x01 \" -"),
    "more words": ((b"GET / a b c\r\n\r\n",), 400, "GET / HTTP/a"),
    "too large": (
        (b"POST /up HTTP/1.1\r\nHost: test\r\nContent-Length: 101\r\n\r\n",),
        413,
        "POST /up HTTP/1.1",
    ),
    "too large a chunk": (
        # In one piece: an ASGI application is called with the head, and may answer before the chunk is there.
        (b"POST /up HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n",),
        413,
        "POST /up HTTP/1.1",
    ),
}


@pytest.mark.parametrize("refused", REFUSED)
def test_what_is_refused_is_in_the_access_log(kind: str, refused: str, shared: Shared) -> None:
    pieces, status, line = REFUSED[refused]
    options = {"access_format": '%(h)s "%(r)s" %(s)s %(B)s', "limits": Limits(body=100)}
    with shared(kind, **options) as one, one.connect() as client:
        before = len(one.access_lines())
        for piece in pieces:
            client.send(piece)
        answer = client.answer()
        assert answer.status == status
        eventually(lambda: len(one.access_lines()) > before, what="a line")
        assert one.access_lines()[before:] == [f'127.0.0.1 "{line}" {status} {len(answer.body)}']


def test_who_is_too_slow_is_in_the_access_log(kind: str) -> None:
    with (
        server(kind, access_format="json", limits=Limits(header_timeout=0.2)) as one,
        one.connect() as client,
    ):
        client.send(b"GET /slow HTTP/1.1\r\nHost")
        assert client.answer().status == 408
        eventually(one.access_lines)
        told = json.loads(one.access_lines()[0])
        assert (told["method"], told["path"], told["status"]) == ("GET", "/slow", 408)
        assert told["duration_us"] > 100_000


def test_files_are_below_the_path_of_the_request(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("file")
    mounts = (Mount("/s/", str(tmp_path)),)
    with server(kind, static=mounts, root_path="/below") as one, one.connect() as client:
        assert ask(client, b"GET /s/a.txt").body == b"file"
        assert ask(client, b"GET http://test/s/a.txt?q").body == b"file"


@pytest.mark.case("A11")
@pytest.mark.case("A9")
def test_refused_before_the_application_and_its_body(kind: str) -> None:
    with server(kind, header_map="refuse") as strict:
        for line in (b"access_token: a", b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off"):
            with strict.connect() as client:
                client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n" + line + b"\r\n\r\n")
                assert client.answer().status == 400
                assert client.at_end()


@pytest.mark.case("A18")
def test_any_method(kind: str) -> None:
    longest = b"M" * 32
    with server(kind) as any_method, any_method.connect() as client:
        for method in (b"BAN", b"REFRESH", b"get", b"A!#$%&'*+-.^_`|~0", longest):
            assert told(ask(client, method + b" /"))["REQUEST_METHOD"] == method.decode()
        assert ask(client, longest + b"M /").status == 501
    with server(kind, methods=("GET", "BAN")) as few, few.connect() as client:
        assert told(ask(client, b"BAN /"))["REQUEST_METHOD"] == "BAN"
        refused = ask(client, b"POST /")
        assert (refused.status, refused["Allow"]) == (405, "BAN, GET")


@pytest.mark.case("A17")
def test_raw_bytes_in_the_target(kind: str) -> None:
    options = {"access_format": "%(U)s %(q)s"}
    with server(kind, **options) as one, one.connect() as client:
        raw = told(ask(client, b"GET /\xc3\xb6/\xe9?q=\xc3\xb6"))
        encoded = told(ask(client, b"GET /%C3%B6/%E9?q=%C3%B6"))
        assert raw | {"HTTP_X_REQUEST_ID": ""} == encoded | {"HTTP_X_REQUEST_ID": ""}
        assert raw["PATH_INFO"].startswith("/\xc3\xb6/")
        for refused in (b"GET /\xc3\xb6\x01", b"GET /a b", b"GET http://\xc3\xb6/", b"GET /\x7f"):
            with one.connect() as other:
                assert ask(other, refused).status == 400
        assert one.access_lines()[0] == "/%C3%B6/%E9 q=%C3%B6"


@pytest.mark.case("A10")
def test_below_a_path(kind: str) -> None:
    with server(kind, root_path="/f%C3%B6") as one, one.connect() as client:
        for target in (b"/f%C3%B6/bar?x", b"/f\xc3\xb6/bar?x", b"/bar?x"):
            made = told(ask(client, b"GET " + target))
            assert (made["SCRIPT_NAME"], made["PATH_INFO"], made["QUERY_STRING"]) == (
                "/f\xc3\xb6",
                "/bar",
                "x",
            )
        made = told(ask(client, b"GET /bar", b"SCRIPT_NAME: /other"))
        assert (made["SCRIPT_NAME"], made["PATH_INFO"]) == ("/other", "/bar")


@pytest.mark.case("A16")
@pytest.mark.parametrize("version", ["Sec-WebSocket-Version: 8", "X-Nothing: 1"])
def test_a_websocket_of_another_version_is_told_ours(version: str) -> None:
    lines = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    with BackendServer("tests.apps.asgi_basic:app", backend="asgi") as one, one.connect() as client:
        client.send(request("/", *lines, version))
        refused = client.answer()
        assert (refused.status, refused["Sec-WebSocket-Version"]) == (400, "13")


@pytest.mark.case("E19")
def test_empty_lines_win_no_time(kind: str) -> None:
    with server(kind, limits=Limits(keep_alive=1.0)) as one, ExitStack() as opened:
        with stopped(one):  # it finds the request together with the connection
            client = opened.enter_context(one.connect())
            client.send(request("/"))
        assert client.answer().status == 200
        began = time.monotonic()
        while not select.select([client.socket], [], [], 0.2)[0]:
            client.send(b"\r\n")
            assert time.monotonic() - began < 30, "still open"
        assert client.at_end()


@pytest.mark.case("E19")
def test_empty_lines_are_no_end_of_keep_alive(kind: str) -> None:
    with server(kind) as one, one.connect() as client:
        for _ in range(50):  # as often as once each, their number starts anew
            assert ask(client, b"\r\nGET /").status == 200


@pytest.mark.case("A4")
def test_fields_of_the_connection_are_dropped_and_told_once(kind: str) -> None:
    with server(kind, "faulty") as one, one.connect() as client:
        for _ in range(3):
            answer = ask(client, b"GET /hops")
            assert (answer.status, answer.body, answer["X-Own"]) == (200, b"x", "kept")
            names = {name.lower() for name, _value in answer.headers}
            assert names.isdisjoint({"connection", "keep-alive", "transfer-encoding", "upgrade", "trailer"})
        assert ask(client, b"GET /close")["Connection"] == "close"
        assert client.at_end()
        for name, _value in faulty.HOPS[:-1]:
            assert one.log().count(f"sends the header {name}, which only a server may") == 1


@pytest.mark.case("A4")
@pytest.mark.parametrize("name", [name for name in INSTALLED if name not in ("wsgi", "asgi", "gevent")])
def test_fields_of_the_connection_are_dropped_on_foreign_servers_too(name: str) -> None:
    can = features(name)
    app = f"tests.apps.faulty:{can.interface}"
    with BackendServer(app, backend=name) as one:
        for _ in range(2):
            with one.connect() as client:
                answer = ask(client, b"GET /hops")
                assert (answer.status, answer.body, answer["X-Own"]) == (200, b"x", "kept")
                names = {key.lower() for key, _value in answer.headers}
                assert names.isdisjoint({"upgrade", "trailer", "proxy-connection"})
                assert answer["Keep-Alive"] != "timeout=5"
                assert "chunked, chunked" not in str(answer["Transfer-Encoding"])
        for key, _value in faulty.HOPS[:-1]:
            assert one.log().count(f"sends the header {key}, which only a server may") == 1, one.log()
        with one.connect() as client:
            assert ask(client, b"GET /close").status == 200


@pytest.mark.case("A20")
@pytest.mark.parametrize(
    ("path", "wsgi", "asgi"),
    [
        ("/name", "header name 5 is int, not str", "header name 5 is int, not bytes"),
        ("/value", "value of header 'X-Name' is int, not str", "value of header 'X-Name' is int, not bytes"),
        ("/pair", "is not a pair of a name and a value", "is not a pair of a name and a value"),
        ("/none", "headers is NoneType, not list", "headers is NoneType, not a list of pairs"),
        ("/bool", "value of header 'X-Name' is bool, not str", "value of header 'X-Name' is bool, not bytes"),
        ("/status", "status is bytes, not str", "status b'200 OK': wanted a number"),
        ("/true", "status is bool, not str", "status 1: wanted three digits"),
        ("/body", "the application's body has a str", "the body is str, not bytes"),
    ],
)
def test_errors_of_type_say_what_was_wrong(
    kind: str, path: str, wsgi: str, asgi: str, shared: Shared
) -> None:
    with shared(kind, "faulty") as one, one.connect() as client:
        before = len(one.log())
        assert ask(client, b"GET " + path.encode()).status == 500
        said = one.log()[before:]
        assert (asgi if kind == "asgi" else wsgi) in said or (kind == "mounted" and asgi in said)


UPGRADE = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@pytest.mark.case("A20")
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/ws/header", "header name 'x-app' is str, not bytes"),
        ("/ws/subprotocol", "subprotocol of websocket.accept is bytes, not str"),
        ("/ws/text", "text of websocket.send is bytes, not str"),
        ("/ws/bytes", "bytes of websocket.send is str, not bytes"),
        ("/ws/bool", "bytes of websocket.send is bool, not bytes"),
        ("/ws/code", "code of websocket.close is str, not int"),
        ("/ws/true", "code of websocket.close is bool, not int"),
        ("/ws/reason", "reason of websocket.close is bytes, not str"),
        ("/ws/status", "status '401': wanted a number"),
        ("/ws/hops", "sends the header Keep-Alive, which only a server may: it is dropped"),
    ],
)
def test_errors_of_an_application_on_a_websocket(path: str, said: str, shared: Shared) -> None:
    with shared("asgi", "faulty") as one, one.connect() as client:
        before = len(one.log())
        client.send(b"\r\n".join([b"GET " + path.encode() + b" HTTP/1.1", b"Host: a", *UPGRADE, b"", b""]))
        eventually(lambda: said in one.log()[before:], what=said)


@pytest.mark.case("A9")
@pytest.mark.parametrize(
    ("lines", "scheme"),
    [
        ((b"X-Forwarded-Proto: wss",), "wss"),
        ((b"X-Forwarded-Proto: https",), "wss"),
        ((b"X-Forwarded-Proto: ws",), "ws"),
        ((b"X-Forwarded-Ssl: on",), "wss"),
        ((b"X-Forwarded-Protocol: ssl",), "wss"),
        ((), "ws"),
    ],
)
@pytest.mark.parametrize("trusted", [True, False])
def test_the_scheme_of_a_websocket(
    lines: tuple[bytes, ...], scheme: str, trusted: bool, shared: Shared
) -> None:
    proxies = ("127.0.0.1",) if trusted else ()
    with shared("asgi", forwarded_allow_ips=proxies) as one, one.connect() as client:
        client.send(b"\r\n".join([b"GET / HTTP/1.1", b"Host: a", *UPGRADE, *lines, b"", b""]))
        assert client.answer()["X-Scheme"] == (scheme if trusted else "ws")


@pytest.mark.case("A17")
def test_raw_bytes_in_the_target_of_a_file(kind: str, tmp_path: Path) -> None:
    (tmp_path / "\xf6.txt").write_text("file")
    with server(kind, static=(Mount("/s/", str(tmp_path)),)) as one, one.connect() as client:
        for target in (b"/s/\xc3\xb6.txt", b"/s/%C3%B6.txt"):
            assert ask(client, b"GET " + target).body == b"file"


@pytest.mark.case("A20")
@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("/str", "TypeError: 'x' was sent, which is str, not a dict"),
        ("/null", "TypeError: None was sent, which is NoneType, not a dict"),
        ("/list", "TypeError: ['x'] was sent, which is list, not a dict"),
        ("/typeless", "TypeError: a message without 'type' was sent; it has 'status'"),
    ],
)
@pytest.mark.parametrize("place", ["", "/ws"])
def test_what_is_no_message_is_told(place: str, path: str, wrong: str, shared: Shared) -> None:
    lines = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    key = (*lines, b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==") if place else ()
    with shared("asgi", "faulty") as one, one.connect() as client:
        before = len(one.log())
        assert ask(client, f"GET {place}{path}".encode(), *key).status == 500
        assert wrong in one.log()[before:]


@pytest.mark.case("A20")
@pytest.mark.parametrize("name", INSTALLED)
def test_the_log_has_the_request_of_the_client(name: str) -> None:
    """Whatever the application makes of its environ, or of its scope."""
    options = ServeOptions(access_format="%(m)s %(U)s %(s)s")
    app = f"tests.apps.faulty:{features(name).interface}"
    with BackendServer(app, options, backend=name) as one:
        for _ in range(2):
            with one.connect() as client:
                assert ask(client, b"GET /spoilt").status == 200
        eventually(lambda: len(one.access_lines()) == 2, what="two lines")
        assert one.access_lines() == ["GET /spoilt 200"] * 2
        eventually(lambda: one.word(Word.BUSY) == 0, what="nothing runs")


@pytest.mark.case("A20")
@pytest.mark.parametrize("name", [name for name in INSTALLED if features(name).interface == "asgi"])
def test_a_status_that_is_none_is_told_by_every_server(name: str) -> None:
    with BackendServer("tests.apps.faulty:asgi", backend=name) as one:
        for path, status in (("/minus", "-5"), ("/huge", str(10**30))):
            with one.connect() as client:
                assert ask(client, b"GET " + path.encode()).status == 500
            told = f"status {status}: wanted three digits"
            eventually(lambda told=told: told in one.log(), what="the reason")  # its writer may be a thread
        eventually(lambda: one.word(Word.REQUESTS) == 2, what="both are counted")
