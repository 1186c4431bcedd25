# The same application on Bigtop and on uvicorn must see the same: tasks, contexts, cancellation, task groups;
# what receive() and send() do while clients come and go; and what Starlette makes of all that.

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from socket import SHUT_RDWR
from typing import Any
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from bigtop.backends.serve_options import ServeOptions
from tests.apps.asgi_tasks import CHECKS
from tests.support.backend_server import ROOT, BackendServer, eventually
from tests.support.wire import Client, Closed, request

Address = tuple[str, int]

SERVERS = ["bigtop-uvloop", "bigtop-asyncio", "uvicorn"]
MOUNT = "/api"  # where the application is said to be


@contextmanager
def _uvicorn(app: str, root_path: str = "") -> Iterator[Address]:
    """A uvicorn on a socket that listens already, so that nobody has to wait for it."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        fd = listener.fileno()
        words = ["--fd", str(fd), "--root-path", root_path, "--log-level", "critical"]
        process = subprocess.Popen([sys.executable, "-m", "uvicorn", *words, app], cwd=ROOT, pass_fds=[fd])
        try:
            yield listener.getsockname()
        finally:
            process.kill()
            process.wait()


@contextmanager
def _served(by: str, app: str, root_path: str = "") -> Iterator[Address]:
    if by == "uvicorn":
        with _uvicorn(app, root_path) as address:
            yield address
        return
    options = ServeOptions(loop=by.removeprefix("bigtop-"), root_path=root_path)
    with BackendServer(app, options, backend="asgi") as server:
        yield server.address


# ---- inside a call


@pytest.fixture(scope="module")
def uvicorn() -> Iterator[Address]:
    with _uvicorn("tests.apps.asgi_tasks:app") as address:
        yield address


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def bigtop(request: pytest.FixtureRequest) -> Iterator[Address]:
    with _served(f"bigtop-{request.param}", "tests.apps.asgi_tasks:app") as address:
        yield address


@pytest.mark.parametrize("check", CHECKS)
def test_same(bigtop: Address, uvicorn: Address, check: str) -> None:
    seen = {}
    for name, address in (("bigtop", bigtop), ("uvicorn", uvicorn)):
        with Client(address) as client:
            answers = [client.get(f"/{check}") for _ in range(3)]
            seen[name] = [(answer.status, answer.body) for answer in answers]
    assert seen["bigtop"] == seen["uvicorn"]
    assert {status for status, _body in seen["bigtop"]} == {200}


# ---- on the wire: each test runs on both servers


@pytest.fixture(scope="module", params=SERVERS)
def alike(request: pytest.FixtureRequest) -> Iterator[Address]:
    with _served(request.param, "tests.apps.asgi_alike:app", MOUNT) as address:
        yield address


@pytest.fixture
def client(alike: Address) -> Iterator[Client]:
    with Client(alike) as client:
        yield client


@pytest.fixture
def key() -> str:
    """A query under which this test's requests take notes."""
    return uuid4().hex


def told(address: Address, key: str) -> list[str]:
    with Client(address) as client:
        notes = json.loads(client.get(f"/told?{key}").body)
    assert isinstance(notes, list)
    return notes


def tells(address: Address, key: str, *notes: str) -> None:
    """Wait until the requests of `key` have noted `notes`, and nothing else."""
    eventually(lambda: len(told(address, key)) >= len(notes), what=f"{notes}")
    assert told(address, key) == list(notes)


def _scope(client: Client, target: str, *headers: str) -> dict[str, Any]:
    scope = json.loads(client.get(target, *headers).body)
    assert isinstance(scope, dict)
    return scope


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        ("/", "/", "/", ""),
        ("/a%20b%2Fc/%C3%A9?x=%31&y", "/a b/c/é", "/a%20b%2Fc/%C3%A9", "x=%31&y"),
        ("/a+b//c/?", "/a+b//c/", "/a+b//c/", ""),
        ("/a/../b?c?d", "/a/../b", "/a/../b", "c?d"),
        ("/%ff%zz", "/\ufffd%zz", "/%ff%zz", ""),
    ],
)
def test_the_path_is_decoded_and_the_raw_path_is_not(
    client: Client, target: str, path: str, raw_path: str, query: str
) -> None:
    scope = _scope(client, target)
    assert (scope["path"], scope["raw_path"]) == (MOUNT + path, MOUNT + raw_path)
    assert (scope["query_string"], scope["root_path"]) == (query, MOUNT)


def test_the_scope_and_its_types(client: Client) -> None:
    scope = _scope(client, "/a")
    assert (scope["type"], scope["http_version"], scope["method"], scope["scheme"]) == (
        *("http", "1.1", "GET"),
        "http",
    )
    assert scope["types"] == {
        **dict.fromkeys(("type", "http_version", "method", "scheme", "path", "root_path"), "str"),
        **dict.fromkeys(("raw_path", "query_string"), "bytes"),
        "state": "dict",
    }


def test_header_fields_come_in_order_and_lower_case(client: Client) -> None:
    scope = _scope(
        client, "/a", "X-Two: B", "accept: *", "X-ONE: a", "x-two:  C c", "Cookie: a=1", "cookie: b=2"
    )
    # Only Bigtop makes an X-Request-ID.
    assert [pair for pair in scope["headers"] if pair[0] != "x-request-id"] == [
        ["host", "test"],
        ["x-two", "B"],
        ["accept", "*"],
        ["x-one", "a"],
        ["x-two", "C c"],
        ["cookie", "a=1"],
        ["cookie", "b=2"],
    ]


def test_state_of_the_start_is_copied_for_each_request(client: Client) -> None:
    first, second = client.get("/state").body.split(), client.get("/state").body.split()
    assert (first[0], second[0]) == (b"green", b"green")
    assert int(second[1]) == int(first[1]) + 1  # the copy is shallow


def test_a_request_sees_what_was_set_at_import_and_nothing_of_others(client: Client) -> None:
    for size in (0, 1_000_000, 0):
        assert client.post("/contexts", b"x" * size).body == b"at import, unset, unset"


def test_the_client_left(alike: Address, key: str) -> None:
    with Client(alike) as client:
        client.send(request(f"/left?{key}"))
        eventually(lambda: told(alike, key) != [])
    tells(alike, key, "http.request b'' False", "http.disconnect", "sent", "http.disconnect")


def test_the_client_left_in_an_upload(alike: Address, key: str) -> None:
    with Client(alike) as client:
        client.send(request(f"/left-in-upload?{key}", "Content-Length: 100", method="POST") + b"half")
        eventually(lambda: told(alike, key) == ["begun"])
    tells(alike, key, "begun", "4 http.disconnect", "sent")


@pytest.mark.parametrize("body", [b"", b"abc"])
def test_behind_the_body_receive_waits_for_the_answer(
    client: Client, alike: Address, key: str, body: bytes
) -> None:
    assert client.post(f"/waits?{key}", body).body == b"ok"
    tells(alike, key, "waits", "http.disconnect", "http.disconnect")
    assert client.get("/slow").body == b"slow"


def test_a_cancelled_receive_loses_nothing(client: Client, alike: Address, key: str) -> None:
    client.send(request(f"/impatient?{key}", "Content-Length: 6", method="POST") + b"abc")
    eventually(lambda: told(alike, key) == ["tried"])
    client.send(b"def")
    assert client.answer().body == b"abcdef"
    assert client.get("/slow").body == b"slow"


def test_a_stream_is_cancelled_by_who_listens_for_the_end(alike: Address, key: str) -> None:
    with Client(alike) as client:
        client.send(request(f"/listener?{key}"))
        client._until(b"first")
    tells(alike, key, "heard", "over")


def test_the_client_left_while_the_application_polls(alike: Address, key: str) -> None:
    with Client(alike) as client:
        client.send(request(f"/polling?{key}"))
        eventually(lambda: told(alike, key) == ["there"])
    tells(alike, key, "there", "left")


@pytest.mark.parametrize("path", ["/broken", "/broken-later", "/silent"])
def test_a_failure_before_the_answer_is_a_500(client: Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status, str(answer["Connection"]).lower()) == (500, "close")
    assert b"broken" not in answer.body
    assert client.at_end()


@pytest.mark.parametrize("path", ["/half", "/half?length"])
def test_a_failure_in_the_answer_ends_the_connection(client: Client, path: str) -> None:
    with pytest.raises((Closed, ConnectionResetError)):
        client.get(path)


def test_messages_that_do_not_fit_are_refused(client: Client, alike: Address, key: str) -> None:
    assert client.get(f"/out-of-order?{key}").body == b"ok"
    tells(
        *(alike, key, "body before start: refused", "start: taken", "second start: refused", "body: taken"),
        "second body: refused",
    )
    assert client.get("/slow").body == b"slow"


@pytest.mark.parametrize("path", ["/unread", "/stream", "/echo"])
def test_head_has_the_head_of_get_and_no_body(client: Client, path: str) -> None:
    get, head = client.get(path), client.get(path, method="HEAD")
    assert (head.status, head["Content-Length"]) == (get.status, get["Content-Length"])
    assert client.get("/slow").body == b"slow"


def test_a_stream_is_chunked(client: Client) -> None:
    answer = client.get("/stream")
    assert (answer.body, answer["Transfer-Encoding"]) == (b"one two", "chunked")
    assert client.get("/slow").body == b"slow"


def test_pipelined_requests_are_answered_in_order(client: Client) -> None:
    upload = request("/echo", "Content-Length: 3", method="POST") + b"abc"
    client.send(request("/slow") + upload + request("/stream") + request("/slow", method="HEAD") + upload)
    assert [client.answer().body for _ in range(3)] == [b"slow", b"abc", b"one two"]
    assert client.answer(head_only=True)["Content-Length"] == "4"
    assert client.answer().body == b"abc"


def test_an_upload_that_nobody_reads_is_answered(client: Client) -> None:
    client.send(request("/unread", f"Content-Length: {1 << 20}", method="POST") + bytes(1 << 20))
    answer = client.answer()
    assert (answer.status, answer.body) == (403, b"not interested")


def test_continue_is_said_to_whom_the_application_listens(alike: Address) -> None:
    fields = ("Content-Length: 3", "Expect: 100-continue")
    with Client(alike) as client:
        client.send(request("/echo", *fields, method="POST"))
        assert client.answer().status == 100
        client.send(b"abc")
        assert client.answer().body == b"abc"
    with Client(alike) as client:
        client.send(request("/unread", *fields, method="POST"))
        assert client.answer().status == 403


# ---- WebSockets on both


def _dial(address: Address, target: str, **options: Any) -> ClientConnection:
    host, port = address
    return connect(f"ws://{host}:{port}{target}", proxy=None, open_timeout=60, **options)


def test_a_websocket_from_connect_to_disconnect(alike: Address, key: str) -> None:
    with _dial(alike, f"/echo?{key}", subprotocols=["a", "b"]) as socket:
        assert (socket.subprotocol, socket.response.headers["x-app"]) == ("b", "yes")
        for message in ("é", b"\xff", "", "x" * 100_000):
            socket.send(message)
            assert socket.recv(timeout=30) == message
        socket.close(4002, "done here")
    start = f"ws {MOUNT}/echo ['a', 'b'] green unset"
    tells(alike, key, "websocket.connect", start, "websocket.disconnect 4002 done here", "OSError")


def test_a_websocket_whose_client_vanished(alike: Address, key: str) -> None:
    socket = _dial(alike, f"/echo?{key}", subprotocols=["b"])
    socket.socket.shutdown(SHUT_RDWR)
    eventually(lambda: len(told(alike, key)) == 4)
    # uvicorn has no code of its own for this: 1005.
    assert told(alike, key)[2:] in (
        ["websocket.disconnect 1006", "OSError"],
        ["websocket.disconnect 1005", "OSError"],
    )


@pytest.mark.parametrize(("target", "status"), [("/deny", 403), ("/denial?{}", 401), ("/broken", 500)])
def test_a_websocket_that_is_not_accepted(alike: Address, key: str, target: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as caught:
        _dial(alike, target.format(key))
    assert caught.value.response.status_code == status
    if target.startswith("/denial"):
        assert caught.value.response.body == b"who are you?"
        assert told(alike, key) == ["True"]


def test_a_websocket_that_the_application_closes(alike: Address) -> None:
    with _dial(alike, "/close") as socket:
        assert socket.recv(timeout=30) == "last words"
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=30)
        assert (socket.close_code, socket.close_reason) == (4001, "enough")


# ---- Starlette on both


@pytest.fixture(scope="module", params=SERVERS)
def starlette(request: pytest.FixtureRequest) -> Iterator[Address]:
    with _served(request.param, "tests.apps.asgi_starlette:app") as address:
        yield address


def test_background_tasks_run_behind_the_answer(starlette: Address, key: str) -> None:
    with Client(starlette) as client:
        assert client.get(f"/later?{key}").body == b"soon"
    eventually(lambda: f"worked {key}" in told_of(starlette))


def test_background_tasks_run_though_the_client_left(starlette: Address, key: str) -> None:
    with Client(starlette) as client:
        client.send(request(f"/later?{key}"))
    eventually(lambda: f"worked {key}" in told_of(starlette))


def test_middleware_sees_the_answer_and_the_context(starlette: Address) -> None:
    with Client(starlette) as client:
        answer = client.get("/coloured")
        assert (answer.body, answer["x-seen"], answer["x-colour"]) == (
            b"set by middleware",
            "yes",
            "set by middleware",
        )
        assert client.post("/upload", b"x" * 300_000).body == b'{"size":300000}'


def test_middleware_may_answer_for_a_failure(starlette: Address) -> None:
    with Client(starlette) as client:
        assert client.get("/caught").body == b"caught ValueError('inside')"
        answer = client.get("/failing")
        assert (answer.status, answer.body) == (500, b"Internal Server Error")


def told_of(address: Address) -> list[str]:
    with Client(address) as client:
        notes = json.loads(client.get("/told").body)
    assert isinstance(notes, list)
    return notes


# ---- other frameworks on both: three applications that do the same


@pytest.fixture(scope="module", params=["fastapi", "litestar", "quart"])
def framework(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture(scope="module", params=["bigtop-auto", "uvicorn"])
def site(request: pytest.FixtureRequest, framework: str) -> Iterator[Address]:
    with _served(request.param, f"tests.apps.asgi_{framework}:app") as address:
        yield address


def test_frameworks_answer(site: Address) -> None:
    with Client(site) as client:
        assert json.loads(client.get("/hello/w%C3%B6rld?times=2").body) == {"hello": "wörld", "times": 2}
        assert client.get("/sync").body == b"from a thread"
        assert client.post("/upload", b"x" * 1_000_000).body == b"1000000"
        assert client.get("/stream").body == b"0\n1\n2\n"
        assert client.get("/nowhere").status == 404
        assert told_of(site)[0] == "started"
    with Client(site) as client:
        assert client.get("/broken").status == 500
    with Client(site) as client:
        assert client.get("/sync").status == 200


def test_frameworks_work_behind_the_answer(site: Address) -> None:
    with Client(site) as client:
        assert client.get("/later").body == b"soon"
    eventually(lambda: "worked" in told_of(site))


def test_frameworks_speak_websocket(site: Address) -> None:
    for text in ("hello", "ö" * 100_000):
        with _dial(site, "/ws") as socket:
            socket.send(text)
            assert socket.recv(timeout=30) == text
