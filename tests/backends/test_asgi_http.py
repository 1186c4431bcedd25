# The ASGI backend on the wire: what HTTP/1.1 clients see, on both loops.

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from bigtop.backends.serve_options import ServeOptions
from bigtop.http.limits import Limits
from bigtop.ipc.scoreboard import RequestPhase, Word
from bigtop.ipc.seats import Seat
from tests.support.backend_server import BackendServer, eventually, stopped
from tests.support.wire import Client, Closed, request

APP = "tests.apps.asgi_basic:app"


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def server(request: pytest.FixtureRequest) -> Iterator[BackendServer]:
    with BackendServer(APP, ServeOptions(loop=request.param), backend="asgi", fresh=True) as server:
        yield server


@pytest.fixture
def client(server: BackendServer) -> Iterator[Client]:
    with server.connect() as client:
        yield client


def events(server: BackendServer) -> list[str]:
    with server.connect() as client:
        found = json.loads(client.get("/events").body)
    assert isinstance(found, list)
    return found


# ---- the request


def test_a_get_is_answered_and_the_connection_kept(client: Client) -> None:
    for _ in range(3):
        answer = client.get("/")
        assert (answer.status, answer.body, answer["Server"]) == (200, b"Hello World\n", "bigtop")
        assert answer["Connection"] is None


def test_the_scope_tells_the_truth(client: Client, server: BackendServer) -> None:
    target = "/scope/a%20b%2F%C3%A9?x=%31&y"
    scope = json.loads(client.get(target, "X-Mixed: One", "x-mixed: two").body)
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert (scope["path"], scope["raw_path"]) == ("/scope/a b/é", "/scope/a%20b%2F%C3%A9")
    assert (scope["query_string"], scope["root_path"], scope["scheme"]) == ("x=%31&y", "", "http")
    assert scope["headers"].pop()[0] == "x-request-id"
    assert scope["headers"] == [["host", "test"], ["x-mixed", "One"], ["x-mixed", "two"]]
    assert scope["server"] == list(server.address)
    assert scope["client"] == list(client.socket.getsockname())
    assert scope["state"] == "green"
    assert scope["extensions"] == [
        "http.response.early_hint",
        "http.response.pathsend",
        "http.response.trailers",
        "http.response.zerocopysend",
    ]


def test_the_root_path_is_part_of_the_path() -> None:
    with BackendServer(APP, ServeOptions(root_path="/api"), backend="asgi") as server:
        with server.connect() as client:
            scope = json.loads(client.get("/scope").body)
        assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/api", "/api/scope", "/api/scope")


def test_a_trusted_proxy_is_believed(client: Client) -> None:
    forwarded = ("X-Forwarded-Proto: https", "X-Forwarded-For: 6.6.6.6, 192.0.2.7, 127.0.0.1")
    scope = json.loads(client.get("/scope", *forwarded).body)
    assert (scope["scheme"], scope["client"]) == ("https", ["192.0.2.7", 0])


def test_another_proxy_is_not() -> None:
    options = ServeOptions(forwarded_allow_ips=("10.0.0.1",))
    with BackendServer(APP, options, backend="asgi") as server, server.connect() as client:
        scope = json.loads(client.get("/scope", "X-Forwarded-Proto: https", "X-Forwarded-For: 1.1.1.1").body)
        assert (scope["scheme"], scope["client"]) == ("http", list(client.socket.getsockname()))


def test_a_worker_has_so_many_connections_and_no_more() -> None:
    with BackendServer(APP, ServeOptions(worker_connections=3), backend="asgi") as server:
        clients = [server.connect() for _ in range(5)]
        for client in clients:
            client.send(request("/"))
        for client in clients[:3]:
            assert client.answer().status == 200
        assert server.word(Seat.CONNECTIONS) == 3
        clients[0].close()
        assert clients[3].answer().status == 200
        clients[1].close()
        assert clients[4].answer().status == 200
        for client in clients:
            client.close()


def test_the_access_log_names_the_client_behind_the_proxy() -> None:
    options = ServeOptions(access_format="%(h)s")
    with BackendServer(APP, options, backend="asgi") as server, server.connect() as client:
        client.get("/", "X-Forwarded-For: 192.0.2.7")
        eventually(lambda: server.access_lines() == ["192.0.2.7"])


def test_unix_clients(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with BackendServer(APP, unix=path, backend="asgi") as server, server.connect() as client:
        scope = json.loads(client.get("/scope").body)
        assert (scope["client"], scope["server"]) == (None, [path, None])


# ---- bodies


def test_body_by_content_length(client: Client) -> None:
    assert client.post("/echo", b"x" * 100_000).body == b"x" * 100_000


def test_chunked_body_in_single_bytes(client: Client) -> None:
    message = (
        request("/echo", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    for byte in message:
        client.send(bytes([byte]))
    assert client.answer().body == b"abcde"


def test_a_body_is_streamed_to_the_application(server: BackendServer) -> None:
    """Eight megabytes come in pieces, and never lie in memory as a whole."""
    body = b"0123456789abcdef" * (8 << 16)
    before = server.rss()
    with server.connect() as client:
        answer = client.post("/digest", body)
    assert answer.body.decode() == f"{len(body)} {hashlib.sha256(body).hexdigest()}"
    assert server.rss() - before < len(body) / 2


def test_what_the_application_does_not_read_is_not_read(server: BackendServer) -> None:
    size = 64 << 20
    with server.connect() as client:
        client.send(request("/slow-reader", f"Content-Length: {size}", method="POST"))
        client.socket.settimeout(0.5)
        sent = _send_until_stuck(client)
        assert sent < size / 2
        client.socket.settimeout(30)
        with server.connect() as other:
            other.get("/release")
        while sent < size:
            sent += client.socket.send(b"x" * min(65536, size - sent))
        assert client.answer().body == b"read"
        with server.connect() as other:  # an idle connection holds nothing of its last request
            eventually(lambda: other.get("/weights").body == b"0")


def _send_until_stuck(client: Client) -> int:
    sent = 0
    while True:
        try:
            sent += client.socket.send(b"x" * 65536)
        except TimeoutError:
            return sent


def test_request_and_answer_may_flow_at_the_same_time(client: Client) -> None:
    client.send(request("/duplex", "Transfer-Encoding: chunked", method="POST"))
    client.send(b"3\r\nabc\r\n")
    assert client._until(b"abc\r\n").endswith(b"\r\n\r\n3\r\n")
    client.send(b"0\r\n\r\n")
    assert client._until(b"0\r\n\r\n") == b""
    assert client.get("/").status == 200


def test_continue_is_said_when_the_body_is_wanted(client: Client) -> None:
    client.send(request("/echo", "Content-Length: 3", "Expect: 100-continue", method="POST"))
    assert client.answer().status == 100
    client.send(b"abc")
    assert client.answer().body == b"abc"


def test_continue_is_not_said_when_the_body_is_not_read(client: Client) -> None:
    client.send(request("/unread", "Content-Length: 3", "Expect: 100-continue", method="POST"))
    answer = client.answer()
    assert (answer.status, answer["Connection"]) == (403, "close")


def test_an_early_answer_arrives_although_the_client_sends_on(client: Client) -> None:
    client.send(request("/unread", f"Content-Length: {1 << 20}", method="POST") + bytes(1 << 20))
    answer = client.answer()
    assert (answer.status, answer.body, answer["Connection"]) == (403, b"not interested", "close")


def test_a_body_that_is_too_large_is_refused() -> None:
    options = ServeOptions(limits=Limits(body=10))
    with BackendServer(APP, options, backend="asgi") as server:
        with server.connect() as client:
            assert client.post("/echo", b"x" * 11).status == 413
        with server.connect() as client:
            client.send(
                request("/echo", "Transfer-Encoding: chunked", method="POST") + b"b\r\n12345678901\r\n"
            )
            assert client.answer().status == 413


# ---- the answer


def test_head_has_no_body_and_the_next_answer_follows(client: Client) -> None:
    answer = client.get("/", method="HEAD")
    assert (answer["Content-Length"], answer.body) == ("12", b"")
    assert client.get("/").body == b"Hello World\n"


@pytest.mark.parametrize("path", ["/stream?n=2&size=3", "/empty", "/hints", "/trailers"])
def test_head_of_anything_has_no_body(client: Client, path: str) -> None:
    client.get(path, method="HEAD")
    while (answer := client.get("/")).status == 103:
        pass
    assert answer.status == 200


def test_a_stream_is_chunked_for_11(client: Client) -> None:
    answer = client.get("/stream?n=3&size=5")
    assert (answer["Transfer-Encoding"], answer.body) == ("chunked", b"s" * 15)


def test_a_stream_ends_with_the_connection_for_10(client: Client) -> None:
    client.send(request("/stream?n=3&size=5", version="1.0"))
    answer = client.answer()
    assert (answer["Connection"], answer.body) == ("close", b"s" * 15)


def test_connection_close_is_obeyed(client: Client) -> None:
    assert client.get("/", "Connection: close")["Connection"] == "close"
    assert client.at_end()


def test_fields_of_the_connection_are_the_servers_own(client: Client) -> None:
    answer = client.get("/hop")
    assert (answer["Connection"], answer["Keep-Alive"], answer["Transfer-Encoding"]) == ("close", None, None)
    assert answer.body == b"ok"
    assert client.at_end()


def test_204_has_neither_body_nor_length(client: Client) -> None:
    answer = client.get("/empty")
    assert (answer.status, answer["Content-Length"], answer["Transfer-Encoding"]) == (204, None, None)
    assert client.get("/").status == 200


def test_a_thousand_pipelined_requests_are_answered_in_order(client: Client) -> None:
    client.send(b"".join(request("/echo", f"Content-Length: {len(str(n))}", method="POST") + str(n).encode()
                         for n in range(1000)))  # fmt: skip
    assert [int(client.answer().body) for _ in range(1000)] == list(range(1000))


def test_a_pipelined_body_that_is_half_here(client: Client) -> None:
    upload = request("/echo", "Content-Length: 6", method="POST")
    client.send(upload + b"abcdef" + upload + b"ghi")
    assert client.answer().body == b"abcdef"
    client.send(b"jkl" + request("/"))
    assert client.answer().body == b"ghijkl"
    assert client.answer().status == 200


def test_who_does_not_read_is_not_read(server: BackendServer) -> None:
    body = bytes(8_000_000)
    with Client(server.address, receive_buffer=4096) as client:
        client.post("/echo", b"")
        client.send(request("/echo", f"Content-Length: {len(body)}", method="POST") + body)
        eventually(
            lambda: any(record.phase is RequestPhase.WRITING for record in server.scoreboard.running())
        )
        before = server.word(Word.BYTES_IN)
        more, sent = request("/") * 2000, 0
        client.socket.settimeout(0.5)  # the kernel takes what its buffers hold, and then no more
        with suppress(TimeoutError):
            while sent < 64_000_000:
                sent += client.socket.send(more)
        assert sent < 64_000_000
        assert server.word(Word.BYTES_IN) - before < 1_000_000


@pytest.mark.parametrize("cut", ["head", "body", "half a body"])
def test_what_comes_in_pieces_behind_what_was_pipelined_is_read_on(
    client: Client, server: BackendServer, cut: str
) -> None:
    """Two requests and a part of the third are here while the first one is answered: nothing more is read
    then, until there is room again."""
    last = request("/echo", "Content-Length: 6", method="POST")
    size = {"head": 20, "body": len(last), "half a body": len(last) + 3}[cut]
    whole = last + b"abcdef"
    gate = server.gate()
    client.send(request(gate.target) + request("/") + whole[:size])
    eventually(lambda: gate.entered() == 1)
    gate.open()
    assert [client.answer().body for _ in range(2)] == [b"slept", b"Hello World\n"]
    client.send(whole[size:])
    assert client.answer().body == b"abcdef"


def test_pipelining_behind_what_waits(client: Client) -> None:
    client.send(request("/sleep/0.1") + request("/stream?n=3&size=5") + request("/"))
    assert [client.answer().body for _ in range(3)] == [b"slept", b"s" * 15, b"Hello World\n"]


def test_the_application_is_held_back_by_a_slow_reader(server: BackendServer) -> None:
    size = 64 << 20
    with Client(server.address, receive_buffer=65536) as client:
        before = server.rss()
        client.send(request(f"/stream?n=1024&size={size // 1024}&length=1"))
        client._until(b"\r\n\r\n")
        assert server.rss() - before < size / 4
        with server.connect() as other:
            assert other.get("/").status == 200
        assert len(client._exactly(size)) == size


def test_large_bodies_arrive_as_they_are_when_the_client_takes_a_little_at_a_time(
    server: BackendServer,
) -> None:
    body = os.urandom(6_000_000)  # far more than the kernel keeps for a client with so little room
    with Client(server.address, receive_buffer=4096) as client:
        for _ in range(2):
            assert client.post("/echo", body).body == body
        client.send(request("/stream?n=60&size=100000"))
        assert client.answer().body == b"s" * 6_000_000
        assert client.get("/").status == 200


def test_a_request_sees_no_variables_of_the_one_before_it(client: Client) -> None:
    for size in (0, 3_000_000, 0):
        assert client.post("/context", b"x" * size).body == b"none red"
    client.send(request("/context") * 3)
    assert [client.answer().body for _ in range(3)] == [b"none red"] * 3


# ---- files


@pytest.mark.parametrize("size", [0, 1, 70_000, 8 << 20])
def test_pathsend_sends_a_file_whole(client: Client, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * (size // 10) + b"x" * (size % 10))
    answer = client.get(f"/pathsend?{path}")
    assert (len(answer.body), answer.body) == (size, path.read_bytes())
    assert client.get(f"/pathsend?{path}", method="HEAD")["Content-Length"] == str(size)
    assert client.get("/").status == 200


@pytest.mark.parametrize("path", ["/pathsend", "/zerocopy"])
def test_files_are_sent_by_the_kernel(server: BackendServer, tmp_path: Path, path: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(3_000_000))
    with server.connect() as client:
        before = server.written()
        body = client.get(f"{path}?{file}").body
        assert len(body) >= 2_900_000
        # sendfile(2) counts as writing, behind its last byte; what goes into a socket by other ways does not.
        eventually(lambda: server.written() - before >= 2_900_000)
        client.get("/stream?n=30&size=100000")
        assert server.written() - before < 4_000_000


def test_pathsend_of_what_is_not_there_is_a_500(client: Client) -> None:
    assert client.get("/pathsend?/nowhere/at/all").status == 500


def test_zerocopysend_sends_pieces_from_where_they_stand(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    answer = client.get(f"/zerocopy?{path}")
    assert (answer.body, answer["Transfer-Encoding"]) == (b"01234|23456789", "chunked")
    assert client.get("/").status == 200


# ---- extensions


def test_trailers_reach_clients_that_take_them(client: Client) -> None:
    client.send(request("/trailers", "TE: trailers"))
    head = client._until(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert b"ontent-" not in head
    assert client._until(b"\r\n\r\n") == b"4\r\nbody\r\n0\r\nx-sum: 1\r\nx-end: 2"
    assert client.get("/").status == 200


def test_trailers_are_left_out_for_others(client: Client) -> None:
    answer = client.get("/trailers")
    assert (answer["Content-Length"], answer.body) == ("4", b"body")
    assert client.get("/").status == 200


def test_early_hints_come_before_the_answer(client: Client) -> None:
    client.send(request("/hints"))
    early = client.answer()
    assert (early.status, early.headers) == (103, [("Link", "</a.css>; rel=preload"), ("Link", "</b.js>")])
    assert client.answer().body == b"hinted"


def test_http_10_gets_no_hints(client: Client) -> None:
    client.send(request("/hints", version="1.0"))
    assert client.answer().body == b"hinted"


# ---- mistakes of applications


@pytest.mark.parametrize("path", ["/broken", "/silent", "/injecting"])
def test_a_failure_before_the_head_is_a_500_without_a_traceback(
    client: Client, server: BackendServer, path: str
) -> None:
    answer = client.get(path)
    assert (answer.status, answer["Connection"]) == (500, "close")
    assert b"Traceback" not in answer.body
    assert f"GET {path}" in server.log()


@pytest.mark.parametrize("path", ["/half", "/unfinished", "/text"])
def test_a_failure_after_the_head_cuts_the_answer_off(client: Client, path: str) -> None:
    with pytest.raises((Closed, ConnectionResetError, AssertionError)):
        assert client.get(path).status == 200


def test_a_second_body_is_refused(client: Client, server: BackendServer) -> None:
    assert client.get("/twice").body == b"once"
    eventually(lambda: "refused" in events(server))


def test_a_short_body_closes_the_connection(client: Client, server: BackendServer) -> None:
    with pytest.raises(Closed):
        client.get("/short")
    assert "5 bytes shorter than its Content-Length" in server.log()


def test_a_long_body_is_cut(client: Client, server: BackendServer) -> None:
    assert client.get("/long").body == b"five."
    assert "8 bytes longer than its Content-Length" in server.log()


# ---- clients that leave


def test_an_application_learns_that_its_client_left(server: BackendServer) -> None:
    with server.connect() as client:
        client.send(request("/wait"))
        eventually(lambda: events(server)[-1:] == ["waiting"])
    eventually(lambda: events(server)[-2:] == ["http.disconnect", "sent all the same"])


def test_a_stream_ends_when_its_client_leaves(server: BackendServer) -> None:
    with server.connect() as client:
        client.send(request("/stream?n=1000000&size=65536"))
        client._until(b"\r\n\r\n")
    eventually(lambda: events(server)[-2:] == ["stream broken", "stream closed"])
    assert "GET /stream?n=1000000&size=65536 failed" not in server.log()


def test_what_an_error_kept_in_its_own_frame_holds_ends_with_the_client(server: BackendServer) -> None:
    with server.connect() as client:
        client.send(request("/kept"))
        assert client.answer(head_only=True).status == 200
        assert client.socket.recv(100)
    eventually(lambda: events(server)[-1:] == ["pieces closed"])


def test_a_client_that_closed_its_side_gets_its_answer(client: Client) -> None:
    client.send(request("/sleep/0.2"))
    client.socket.shutdown(1)
    assert client.answer().body == b"slept"
    assert client.at_end()


def test_the_next_request_does_not_wait_for_background_work(client: Client, server: BackendServer) -> None:
    gate = server.gate("/background")
    assert client.get(gate.target).body == b"first"
    assert client.get("/").body == b"Hello World\n"
    assert "background done" not in events(server)
    gate.open()
    eventually(lambda: "background done" in events(server))


# ---- limits and books


def test_slow_clients_are_told_so() -> None:
    limits = Limits(header_timeout=0.2, body_timeout=0.2)
    with BackendServer(APP, ServeOptions(limits=limits), backend="asgi") as server:
        with server.connect() as client:
            client.send(b"GET / HTTP/1.1\r\n")
            assert client.answer().status == 408
        with server.connect() as client:
            client.send(request("/echo", "Content-Length: 5", method="POST") + b"abc")
            assert client.answer().status == 408
        with ExitStack() as opened:  # an application may take longer than any of these
            with stopped(server):  # it finds the request together with the connection
                client = opened.enter_context(server.connect())
                client.send(request("/sleep/0.8"))
            assert client.answer().body == b"slept"


def test_silent_clients_are_left() -> None:
    limits = Limits(keep_alive=0.2)
    with BackendServer(APP, ServeOptions(limits=limits), backend="asgi") as server:
        for path in ("/", "/sleep/0.8"):
            with ExitStack() as opened:
                with stopped(server):  # it finds the request together with the connection
                    client = opened.enter_context(server.connect())
                    client.send(request(path))
                assert client.answer().status == 200
                assert client.at_end()


def test_a_client_that_reads_nothing_is_cut_off() -> None:
    options = ServeOptions(limits=Limits(send_timeout=0.3))
    with BackendServer(APP, options, backend="asgi") as server:
        with Client(server.address, receive_buffer=4096) as client:
            client.send(request("/stream?n=1000&size=65536"))
            eventually(lambda: server.word(Word.ACCEPTED) == 1 and server.word(Seat.CONNECTIONS) == 0)
        eventually(lambda: server.word(Word.REQUESTS) == 1)
        eventually(lambda: server.word(Word.BUSY) == 0)


def test_keep_alive_can_be_turned_off() -> None:
    options = ServeOptions(limits=Limits(keep_alive=0))
    with BackendServer(APP, options, backend="asgi") as server, server.connect() as client:
        assert client.get("/")["Connection"] == "close"
        assert client.at_end()


@pytest.mark.case("F6")
def test_scoreboard_and_access_log_count_what_happened() -> None:
    options = ServeOptions(access_format='%(h)s "%(r)s" %(s)s %(B)s %({content-type}o)s')
    with BackendServer(APP, options, backend="asgi") as server:
        with server.connect() as client:
            for path in ("/", "/broken"):
                client.get(path)
        eventually(lambda: server.word(Seat.CONNECTIONS) == 0)
        with server.connect() as client:
            client.send(request("/wait"))
            eventually(lambda: server.word(Word.BUSY) == 1)
        eventually(lambda: server.word(Word.REQUESTS) == 3)
        assert (server.word(Word.ACCEPTED), server.word(Word.ERRORS)) == (2, 1)
        assert server.access_lines() == [
            '127.0.0.1 "GET / HTTP/1.1" 200 12 text/plain',
            '127.0.0.1 "GET /broken HTTP/1.1" 500 73 -',
            '127.0.0.1 "GET /wait HTTP/1.1" 200 17 text/plain',
        ]
        shown = [(record.method, record.path, record.status) for record in server.scoreboard.finished()]
        assert shown == [("GET", "/", 200), ("GET", "/broken", 500), ("GET", "/wait", 200)]


def test_slow_callbacks_are_logged_when_asked_for() -> None:
    with BackendServer(APP, ServeOptions(slow_callback=0.1), backend="asgi") as server:
        took = re.compile(r"took (\d+\.\d+)")
        with server.connect() as client:
            began = time.monotonic()
            client.get("/")
            assert "took" not in server.log() or time.monotonic() - began > 0.1, "it was kept waiting"
            client.get("/block/0.2")
        eventually(lambda: any(float(seconds) >= 0.2 for seconds in took.findall(server.log())))
