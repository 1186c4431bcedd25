# The native backend on the wire: what comes back for what is sent, byte by byte.

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bigtop.backends.serve_options import ServeOptions
from bigtop.http.limits import Limits
from bigtop.ipc.histogram import quantile
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat
from tests.support.backend_server import BackendServer, eventually, stopped
from tests.support.wire import Client, Closed, request

APP = "tests.apps.wsgi_basic:app"
ACCESS = '%(h)s "%(r)s" %(s)s %(b)s'


@pytest.fixture(scope="module")
def server() -> Iterator[BackendServer]:
    options = ServeOptions(access_format=ACCESS, limits=Limits(body=1 << 20))
    with BackendServer(APP, options) as server:
        yield server


@pytest.fixture
def client(server: BackendServer) -> Iterator[Client]:
    with server.connect() as client:
        yield client


def test_a_get_is_answered_and_the_connection_kept(client: Client) -> None:
    for _ in range(3):
        answer = client.get("/")
        assert (answer.status, answer.body) == (200, b"Hello World\n")
        assert answer["Date"] is not None
        assert answer["Server"] == "bigtop"
        assert answer["Connection"] is None


def test_environ_tells_the_truth(client: Client, server: BackendServer) -> None:
    answer = json.loads(client.get("/environ/x%20y?a=1", "X-Two: a", "X-Two: b", "X_Two: evil").body)
    assert answer["PATH_INFO"] == "/environ/x y"
    assert answer["RAW_URI"] == "/environ/x%20y?a=1"
    assert answer["HTTP_X_TWO"] == "a,b"
    assert answer["REMOTE_ADDR"] == "127.0.0.1"
    assert answer["REMOTE_PORT"] == str(client.socket.getsockname()[1])
    assert answer["SERVER_PORT"] == str(server.address[1])
    assert answer["wsgi.multithread"] is False
    assert answer["pid"] == server.process.pid


def test_no_event_loop_runs_around_the_application(client: Client) -> None:
    assert client.get("/loop").body == b"no"


def test_head_has_no_body_and_the_next_answer_follows(client: Client) -> None:
    answer = client.get("/", method="HEAD")
    assert answer["Content-Length"] == "12"
    assert client.get("/").body == b"Hello World\n"


@pytest.mark.parametrize("path", ["/stream?n=3&size=4", "/file?size=9", "/broken"])
def test_head_of_anything_has_no_body(client: Client, path: str) -> None:
    client.send(request(path, "Connection: close", method="HEAD"))
    assert client.rest().endswith(b"\r\n\r\n")


def test_a_generator_is_chunked_for_11(client: Client) -> None:
    answer = client.get("/stream?n=3&size=4")
    assert answer["Transfer-Encoding"] == "chunked"
    assert answer.body == b"x" * 12


def test_a_generator_ends_with_the_connection_for_10(client: Client) -> None:
    client.send(request("/stream?n=3&size=4", "Connection: keep-alive", version="1.0"))
    answer = client.answer()
    assert answer["Transfer-Encoding"] is None
    assert answer["Connection"] == "close"
    assert answer.body == b"x" * 12


def test_http_10_closes_unless_asked_to_keep(server: BackendServer) -> None:
    with server.connect() as client:
        client.send(request("/", version="1.0"))
        assert client.answer()["Connection"] == "close"
        assert client.at_end()
    with server.connect() as client:
        for _ in range(2):
            client.send(request("/", "Connection: keep-alive", version="1.0"))
            assert client.answer()["Connection"] == "keep-alive"


def test_connection_close_is_obeyed(client: Client) -> None:
    assert client.get("/", "Connection: close")["Connection"] == "close"
    assert client.at_end()


def test_write_callable_and_returned_pieces_are_one_body(client: Client) -> None:
    assert client.get("/write").body == b"w" * 15 + b"end"


def test_start_response_again_with_exc_info_replaces_the_head(client: Client) -> None:
    answer = client.get("/caught")
    assert (answer.status, answer.body) == (503, b"caught")


def test_early_hints_come_before_the_answer_and_keep_the_connection(client: Client) -> None:
    client.send(request("/hints") * 2)
    for _ in range(2):
        first, second, answer = client.answer(), client.answer(), client.answer()
        assert (first.status, first.headers) == (103, [("Link", "</a.css>; rel=preload; as=style")])
        assert (second.status, second.headers) == (103, [("Link", "</b.js>"), ("X-Note", "second")])
        assert (answer.status, answer.body) == (200, b"hinted")


def test_early_hints_are_not_for_http_10(client: Client) -> None:
    client.send(request("/hints", version="1.0"))
    assert client.answer().body == b"hinted"


def test_early_hints_cannot_be_split(client: Client, server: BackendServer) -> None:
    answer = client.get("/hints/split")
    assert (answer.status, answer["X-Evil"]) == (500, None)


def test_early_hints_behind_the_head_cut_the_answer_off(client: Client, server: BackendServer) -> None:
    client.send(request("/hints/late"))
    assert [client.answer().status for _ in range(2)] == [103, 103]
    with pytest.raises((Closed, ConnectionResetError)):
        client.answer()
    assert "wsgi.early_hints was called after the head was sent" in server.log()


def test_204_has_neither_body_nor_length(client: Client) -> None:
    answer = client.get("/empty")
    assert (answer.status, answer["Content-Length"], answer["Transfer-Encoding"]) == (204, None, None)
    assert client.get("/").status == 200


# ---- bodies of requests


def test_body_by_content_length(client: Client) -> None:
    assert client.post("/echo", b"hello body").body == b"hello body"


def test_chunked_body_in_single_bytes(client: Client) -> None:
    head = request("/echo", "Transfer-Encoding: chunked", method="POST")
    for byte in head + b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n":
        client.send(bytes([byte]))
    assert client.answer().body == b"hello world"


def test_body_beyond_memory_goes_to_a_file_and_can_be_read_twice() -> None:
    body = bytes(range(256)) * 4000
    with (
        BackendServer(APP, ServeOptions(limits=Limits(body_memory=1000))) as server,
        server.connect() as client,
    ):
        assert client.post("/digest", body).body.startswith(b"1024000 ")
        assert client.post("/echo", body).body == body


def test_continue_is_said_when_the_body_is_wanted(client: Client) -> None:
    client.send(request("/echo", "Content-Length: 4", "Expect: 100-continue", method="POST"))
    assert client.answer().status == 100
    client.send(b"body")
    assert client.answer().body == b"body"


def test_continue_is_not_said_when_the_body_is_here(client: Client) -> None:
    client.send(request("/echo", "Content-Length: 4", "Expect: 100-continue", method="POST") + b"body")
    assert client.answer().status == 200


def test_continue_is_not_said_when_the_body_is_too_large(client: Client) -> None:
    client.send(request("/echo", "Content-Length: 9999999", "Expect: 100-continue", method="POST"))
    assert client.answer().status == 413
    assert client.at_end()


def test_the_answer_to_a_body_that_is_too_large_arrives_although_the_client_sends_on(
    client: Client, server: BackendServer
) -> None:
    with stopped(server):  # it finds more than it reads at once
        client.send(request("/echo", "Content-Length: 4000000", method="POST") + b"x" * 400_000)
    assert client.answer().status == 413
    client.send(b"x" * 100_000)
    assert client.at_end()


def test_a_chunked_body_that_is_too_large_is_refused(client: Client) -> None:
    chunk = b"186a0\r\n" + b"x" * 100_000 + b"\r\n"
    client.send(request("/echo", "Transfer-Encoding: chunked", method="POST") + chunk * 12)
    assert client.answer().status == 413


# ---- pipelining


def test_a_thousand_pipelined_requests_are_answered_in_order(client: Client) -> None:
    client.send(
        b"".join(request("/echo", "Content-Length: 4", method="POST") + b"%04d" % n for n in range(1000))
    )
    assert [client.answer().body for _ in range(1000)] == [b"%04d" % n for n in range(1000)]


def test_pipelining_behind_a_stream_and_a_file(client: Client) -> None:
    paths = ["/stream?n=30&size=100000", "/file?size=3000000", "/", "/write?size=400000"]
    client.send(b"".join(request(path) for path in paths))
    assert [len(client.answer().body) for _ in paths] == [3_000_000, 3_000_000, 12, 1_200_003]


def test_what_follows_a_last_request_is_not_answered(client: Client) -> None:
    client.send(request("/", "Connection: close") + request("/"))
    assert client.answer().status == 200
    assert client.at_end()


def test_a_good_request_before_a_bad_one_is_answered(client: Client) -> None:
    client.send(request("/") + b"GARBAGE\r\n\r\n")
    assert client.answer().status == 200
    assert client.answer().status in (400, 501)
    assert client.at_end()


# ---- faults of the application


def test_an_exception_is_a_500_without_a_traceback(client: Client, server: BackendServer) -> None:
    answer = client.get("/broken")
    assert answer.status == 500
    assert b"RuntimeError" not in answer.body
    assert client.at_end()
    eventually(lambda: "this view is broken" in server.log())


@pytest.mark.parametrize("path", ["/unstarted", "/injecting"])
def test_what_is_no_wsgi_is_a_500(client: Client, path: str) -> None:
    assert client.get(path).status == 500


@pytest.mark.parametrize("path", ["/half", "/too-late"])
def test_a_failure_after_the_head_cuts_the_answer_off(client: Client, path: str) -> None:
    with pytest.raises(Closed):
        client.get(path)


def test_a_failure_in_an_answer_without_length_is_a_reset_for_10(client: Client) -> None:
    client.send(request("/half", version="1.0"))
    with pytest.raises(ConnectionResetError):
        client.answer()


def test_close_is_called_and_may_fail(client: Client, server: BackendServer) -> None:
    assert client.get("/not-closing").body == b"ok"
    assert client.get("/").status == 200
    eventually(lambda: "close is broken" in server.log())


def test_a_short_body_closes_the_connection(client: Client, server: BackendServer) -> None:
    with pytest.raises(Closed):
        client.get("/short")
    eventually(lambda: "5 bytes shorter" in server.log())


def test_a_long_body_is_cut(client: Client, server: BackendServer) -> None:
    assert client.get("/long").body == b"five."
    assert "longer than its Content-Length" not in server.log(), "PEP 3333: who has enough asks for no more"
    assert client.get("/long/at-once").body == b"five."
    eventually(lambda: "longer than its Content-Length" in server.log())


# ---- files


@pytest.mark.parametrize("size", [0, 1, 100_000, 30_000_000])
def test_a_file_is_sent_whole_and_closed_afterwards(client: Client, size: int) -> None:
    before = _events(client).count("file closed")
    answer = client.get(f"/file?size={size}")
    assert answer["Content-Length"] == str(size)
    assert answer.body == b"f" * size
    assert _events(client).count("file closed") == before + 1


def test_a_file_is_sent_from_where_it_stands(client: Client) -> None:
    assert client.get("/file?size=50000&skip=70000").body == b"f" * 50_000


def test_no_more_of_a_file_than_announced(client: Client) -> None:
    assert client.get("/file?size=50000&length=20").body == b"f" * 20
    assert client.get("/").status == 200


def test_a_file_that_is_shorter_than_announced_closes(client: Client) -> None:
    with pytest.raises(Closed):
        client.get("/file?size=20&length=50")


def test_what_is_no_file_is_read(client: Client) -> None:
    assert client.get("/file?size=50000&kind=bytesio").body == b"f" * 50_000


def _events(client: Client) -> list[str]:
    events: list[str] = json.loads(client.get("/events").body)
    return events


# ---- what is told


@pytest.mark.case("F6")
def test_scoreboard_and_access_log_count_what_happened() -> None:
    with BackendServer(APP, ServeOptions(access_format=ACCESS)) as server:
        with server.connect() as client:
            client.get("/sleep/0.05")
            client.get("/broken")
            eventually(lambda: server.word(Word.REQUESTS) == 2)
        eventually(lambda: server.word(Seat.CONNECTIONS) == 0)
        assert server.word(Word.ACCEPTED) == 1
        assert server.word(Word.ERRORS) == 1
        assert server.word(Word.BUSY) == 0
        assert 50_000_000 <= server.word(Word.CALL_NS) <= server.word(Word.LATENCY_NS) < 60_000_000_000
        assert sum(server.scoreboard.latencies()) == sum(server.scoreboard.waits()) == 2
        assert quantile(server.scoreboard.latencies(), 1.0) >= 0.05 * 0.95
        assert server.word(Word.BYTES_IN) == len(request("/sleep/0.05") + request("/broken"))
        assert server.word(Word.BYTES_OUT) > 200
        slept, broken = server.scoreboard.finished()
        assert (slept.method, slept.path, slept.status, slept.client) == (
            "GET",
            "/sleep/0.05",
            200,
            "127.0.0.1",
        )
        assert slept.ended - slept.began >= 50_000_000
        assert broken.status == 500
        assert server.access_lines() == [
            '127.0.0.1 "GET /sleep/0.05 HTTP/1.1" 200 5',
            '127.0.0.1 "GET /broken HTTP/1.1" 500 73',
        ]


def test_a_running_call_is_on_the_scoreboard() -> None:
    with BackendServer(APP) as server, server.connect() as client:
        gate = server.hold(client)
        assert [record.path for record in server.scoreboard.running()] == [gate.target]
        assert server.scoreboard.soonest(1) > 0
        gate.open()
        client.answer()
        eventually(lambda: server.word(Word.BUSY) == 0)
        assert server.scoreboard.soonest(1) == 0


def test_unix_clients(tmp_path: object) -> None:
    with BackendServer(APP, unix=f"{tmp_path}/s") as server, server.connect() as client:
        answer = json.loads(client.get("/environ").body)
        assert (answer["REMOTE_ADDR"], answer["SERVER_NAME"]) == ("", "localhost")


def test_keep_alive_can_be_turned_off() -> None:
    with BackendServer(APP, ServeOptions(limits=Limits(keep_alive=0))) as server, server.connect() as client:
        assert client.get("/")["Connection"] == "close"
        assert client.at_end()


def test_no_answer_is_held_while_others_are_read() -> None:
    with BackendServer(APP) as server, ExitStack() as stack:
        quick, slow, fatal = (stack.enter_context(server.connect()) for _ in range(3))
        assert [client.get("/").status for client in (slow, fatal, quick)] == [200] * 3
        with stopped(server):  # so that one turn of the loop finds all three
            quick.send(request("/"))
            slow.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
            fatal.send(request("/die"))
        assert quick.answer().body == b"Hello World\n"
        assert server.wait() == 7


def test_the_scoreboard_knows_a_request_by_its_id() -> None:
    with BackendServer(APP) as server, server.connect() as client:
        gate = server.hold(client, headers=["X-Request-ID: from-a-proxy-7f"])
        assert [one.id for one in server.scoreboard.running()] == ["from-a-proxy-7f"]
        gate.open()
        assert client.answer().status == 200
        client.get("/")
        eventually(
            lambda: len({one.id for one in server.scoreboard.finished()} - {"", "from-a-proxy-7f"}) == 1
        )
