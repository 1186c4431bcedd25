# HTTP/2 with the native servers, by a client of its own (tests/support/http2_client.py): over TLS, and
# with prior knowledge.

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bigtop.backends.serve_options import Gates, PathOptions, ProxyOptions, ServeOptions, TlsPolicy
from bigtop.backends.wsgi.http2.arrivals import AT_ONCE
from bigtop.http.declarations import Mount, ProxyRoute, Route
from bigtop.http.h2.error_codes import CANCEL, INTERNAL_ERROR, NO_ERROR
from bigtop.http.h2.limits import Http2Limits
from bigtop.http.limits import Limits
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat
from bigtop.record import replace
from tests.http.test_gates import SHA256
from tests.support.backend_server import BackendServer, Steps, eventually, in_time
from tests.support.certificates import made, ring
from tests.support.http2_client import Http2Client
from tests.support.tls_client import TlsClient, context
from tests.support.wire import Client

APPS = {"wsgi": "tests.apps.http2:app", "asgi": "tests.apps.http2_asgi:app"}
FOUR = ServeOptions(threads=4, access_format="%(m)s %(U)s %(H)s %(s)s %(B)s")


KINDS = pytest.mark.parametrize("kind", ["wsgi", "gevent"])
BOTH = pytest.mark.parametrize("kind", ["wsgi", "asgi"])


def server(
    options: ServeOptions = FOUR, *, kind: str = "wsgi", tls: bool = False, **more: Any
) -> BackendServer:
    if kind != "wsgi":
        options = replace(options, threads=1)
    keyring = ring(made("localhost")) if tls else None
    return BackendServer(APPS.get(kind, APPS["wsgi"]), options, backend=kind, keyring=keyring, **more)


@pytest.fixture(scope="module", params=["wsgi-plain", "wsgi-tls", "gevent-tls", "asgi-plain", "asgi-tls"])
def shared(request: pytest.FixtureRequest) -> Iterator[BackendServer]:
    kind, _, how = request.param.partition("-")
    with server(kind=kind, tls=how == "tls") as running:
        yield running


@pytest.fixture
def client(shared: BackendServer) -> Iterator[Http2Client]:
    with Http2Client(shared.address, tls=shared.is_encrypted) as connected:
        yield connected


# ---- requests and answers

# Of tests.apps.http2; those that another worker gives are the same (test_http2_delegation.py).
ANSWERS = pytest.mark.parametrize(
    ("path", "status", "body", "length"),
    [
        ("/hello", 200, b"hello\n", "6"),
        ("/no-length", 200, b"hello\n", "6"),
        ("/empty", 204, b"", None),
        ("/unchanged", 304, b"", None),
        ("/teapot", 418, b"pot", "3"),
        ("/stream", 200, b"x" * 50_000, None),
        ("/big", 200, b"b" * (4 << 20), str(4 << 20)),
        ("/nowhere", 404, b"", "0"),
    ],
)
HEADS = pytest.mark.parametrize(
    ("path", "length"), [("/hello", "6"), ("/big", str(4 << 20)), ("/stream", None)]
)


@ANSWERS
def test_answers(client: Http2Client, path: str, status: int, body: bytes, length: str | None) -> None:
    answer = client.get(path)
    assert (answer.status, answer.header("content-length"), answer.reset) == (status, length, None)
    assert answer.body == body
    assert answer.header("server") == "bigtop"
    assert answer.header("date")
    assert answer.header("connection") is answer.header("transfer-encoding") is None


def test_several_fields_of_one_name(client: Http2Client) -> None:
    answer = client.get("/cookies")
    assert [value for name, value in answer.headers if name == "set-cookie"] == ["a=1", "b=2"]


@HEADS
def test_head(client: Http2Client, path: str, length: str | None) -> None:
    answer = client.get(path, method="HEAD")
    assert (answer.status, answer.body, answer.ended) == (200, b"", True)
    assert answer.header("content-length") == length


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_000])
@pytest.mark.parametrize("length", [True, False], ids=["length", "without"])
def test_bodies(client: Http2Client, size: int, length: bool) -> None:
    body = b"0123456789" * (size // 10) + b"0" * (size % 10)
    answer = client.get("/echo", method="POST", body=body, length=length)
    assert (answer.status, answer.body) == (200, body)


def test_what_an_application_is_told(shared: BackendServer, client: Http2Client) -> None:
    if shared.backend == "asgi":
        pytest.skip("the scope is another test's")
    fields = [("x-test", "a"), ("cookie", "a=1"), ("cookie", "b=2"), ("user-agent", "test")]
    known = json.loads(client.get("/environ?q=1", headers=fields).body)
    assert known["SERVER_PROTOCOL"] == "HTTP/2.0"
    assert (known["REQUEST_METHOD"], known["PATH_INFO"], known["QUERY_STRING"]) == ("GET", "/environ", "q=1")
    assert (known["HTTP_HOST"], known["HTTP_X_TEST"], known["HTTP_COOKIE"]) == ("localhost", "a", "a=1; b=2")
    assert known["REMOTE_ADDR"] == "127.0.0.1"
    assert len(known["HTTP_X_REQUEST_ID"]) > 10
    assert known["wsgi.url_scheme"] == ("https" if shared.is_encrypted else "http")
    assert known.get("SSL_PROTOCOL") == ("TLSv1.3" if shared.is_encrypted else None)
    assert not any(name.startswith("HTTP_:") for name in known)


def test_early_hints(client: Http2Client) -> None:
    answer = client.get("/hints")
    assert (answer.status, answer.body) == (200, b"hinted")
    assert [(hint[":status"], hint["link"]) for hint in answer.hints] == [
        ("103", "</a.css>; rel=preload; as=style")
    ]


def test_who_expects_a_word_before_the_body_gets_one(client: Http2Client) -> None:
    stream = client.ask("/echo", method="POST", headers=[("expect", "100-continue")], ends=False)
    client.until(lambda: client.answers[stream].hints)
    assert client.answers[stream].hints == [{":status": "100"}]
    client.send(stream, b"word")
    assert client.wait(stream).body == b"word"


def test_calls_that_fail_cost_their_stream_and_no_more(client: Http2Client) -> None:
    broken, half, short, good = [client.ask(path) for path in ("/broken", "/half", "/short", "/hello")]
    answer = client.wait(broken)
    assert (answer.status, answer.ended) == (500, True)
    assert client.wait(half).reset == INTERNAL_ERROR
    assert client.answers[half].status == 200
    assert client.wait(short).reset == INTERNAL_ERROR
    assert client.wait(good).body == b"hello\n"


def test_the_access_log_names_the_protocol(shared: BackendServer, client: Http2Client) -> None:
    client.get("/teapot?logged")
    wanted = "GET /teapot HTTP/2.0 418 3"
    eventually(lambda: wanted in shared.access_lines(), what="the line")


def test_many_streams_are_counted_like_requests(shared: BackendServer, client: Http2Client) -> None:
    before = shared.word(Word.REQUESTS)
    streams = [client.ask("/hello") for _ in range(100)]
    assert all(client.wait(stream).body == b"hello\n" for stream in streams)
    eventually(lambda: shared.word(Word.REQUESTS) == before + 100, what="all are counted")
    eventually(lambda: shared.word(Word.BUSY) == 0, what="nothing runs")


# ---- what is spoken


def test_http1_beside_it(shared: BackendServer) -> None:
    kind = TlsClient if shared.is_encrypted else Client
    with kind(shared.address) as old:
        assert old.get("/hello").body == b"hello\n"


@pytest.mark.parametrize("offered", [["h2", "http/1.1"], ["http/1.1", "h2"], ["http/1.1"], []])
@pytest.mark.parametrize("only", [False, True], ids=["both", "only"])
def test_what_is_agreed_on(offered: list[str], only: bool, agreeing: dict[bool, BackendServer]) -> None:
    by = context()
    if offered:
        by.set_alpn_protocols(offered)
    with TlsClient(agreeing[only].address, by=by) as old:
        chosen = "http/1.1" if only or "h2" not in offered else "h2"
        assert old.tls.selected_alpn_protocol() == (chosen if offered else None)


@pytest.fixture(scope="module")
def agreeing() -> Iterator[dict[bool, BackendServer]]:
    with ExitStack() as stack:
        yield {
            only: stack.enter_context(server(ServeOptions(tls=TlsPolicy(http1_only=only)), tls=True))
            for only in (False, True)
        }


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"


@pytest.mark.parametrize("options", [{"tls": TlsPolicy(http1_only=True)}, {"forwarded_allow_ips": ()}])
def test_who_may_not_begin_with_it(options: dict[str, Any]) -> None:
    with server(ServeOptions(**options)) as running, running.connect() as old:
        old.send(PREFACE)
        assert old.answer().status == 505


def test_it_begins_at_the_beginning(shared: BackendServer) -> None:
    if shared.is_encrypted:
        pytest.skip("prior knowledge is for what is not encrypted")
    with shared.connect() as old:
        assert old.get("/hello").status == 200
        old.send(PREFACE)
        assert old.answer().status == 505
    with shared.connect() as slow:
        for at in range(len(PREFACE)):
            slow.send(PREFACE[at : at + 1])
        assert slow.socket.recv(9)[3] == 4, "SETTINGS"


# ---- fairness


@KINDS
def test_a_call_that_waits_holds_nobody_up(kind: str) -> None:
    with server(ServeOptions(threads=2), kind=kind) as running, Http2Client(running.address) as client:
        gate = running.gate()
        held = client.ask(gate.target)
        eventually(lambda: gate.entered() == 1, what="the call is inside the application")
        client.ping()
        assert client.get("/hello").body == b"hello\n"
        assert client.get("/echo", method="POST", body=b"b" * 300_000).body == b"b" * 300_000
        gate.open()
        assert client.wait(held).body == b"slept"


def test_with_one_thread_streams_wait_and_pings_do_not() -> None:
    with server(ServeOptions(threads=1)) as running, Http2Client(running.address) as client:
        gate = running.gate()
        held, other = client.ask(gate.target), client.ask("/hello")
        eventually(lambda: gate.entered() == 1, what="the call is inside the application")
        client.ping()
        assert not client.answers[other].status
        gate.open()
        assert client.wait(held).body == b"slept"
        assert client.wait(other).body == b"hello\n"


def test_large_answers_go_out_while_a_call_waits() -> None:
    with server(ServeOptions(threads=1)) as running, Http2Client(running.address, window=0) as client:
        big = client.ask("/big")
        client.until(lambda: client.answers[big].status)
        gate = running.gate()
        held = client.ask(gate.target)
        eventually(lambda: gate.entered() == 1, what="the call is inside the application")
        client.spoken.increment_flow_control_window(8 << 20)
        client.spoken.increment_flow_control_window(8 << 20, big)
        client.flush()
        client.until(lambda: client.answers[big].ended)
        assert len(client.answers[big].body) == 4 << 20
        gate.open()
        client.spoken.increment_flow_control_window(100, held)
        assert client.wait(held).body == b"slept"


@pytest.mark.parametrize("kind", ["wsgi", "gevent", "asgi"])
def test_answers_go_on_as_soon_as_the_socket_takes_more(kind: str) -> None:
    """The windows are open for all of it, so nothing else has the server go on, but for its look at what is
    under way, each second: that would take a minute."""
    size = 4 << 20
    with (
        server(kind=kind, send_buffer=4096) as running,
        Http2Client(running.address, window=4 * size, reads=False, buffer=4096) as client,
    ):
        client.spoken.increment_flow_control_window(4 * size)
        client.ping()
        began = time.monotonic()
        big, streams = client.ask("/big"), [client.ask("/stream") for _ in range(4)]
        assert [len(client.wait(stream).body) for stream in (big, *streams)] == [size, *[50_000] * 4]
        assert time.monotonic() - began < 30


# ---- slow and absent clients


@BOTH
def test_who_reads_slowly_loses_the_stream_and_keeps_the_connection(kind: str) -> None:
    options = ServeOptions(threads=2, limits=Limits(send_timeout=1.0))
    with server(options, kind=kind) as running, Http2Client(running.address, reads=False) as client:
        client.spoken.increment_flow_control_window(1 << 20)  # of the connection, but not of streams
        slow = client.ask("/big")
        client.until(lambda: len(client.answers[slow].body) == 65_535)
        assert client.get("/hello").body == b"hello\n"
        assert client.wait(slow).reset == CANCEL
        assert client.get("/hello").body == b"hello\n"
        eventually(lambda: running.word(Word.BUSY) == 0, what="nothing runs")


@KINDS
def test_a_call_is_held_back_by_its_client(kind: str) -> None:
    limits = Limits(send_memory=100_000, send_file=0)
    with (
        server(ServeOptions(threads=2, limits=limits), kind=kind) as running,
        Http2Client(running.address, reads=False) as client,
    ):
        endless = client.ask("/endless")
        client.until(lambda: len(client.answers[endless].body) == 65_535)
        assert running.rss() < 100 << 20
        client.spoken.increment_flow_control_window(300_000)
        client.spoken.increment_flow_control_window(200_000, endless)
        client.flush()
        client.until(lambda: len(client.answers[endless].body) == 265_535)
        client.reset(endless)
        eventually(lambda: json.loads(client.get("/left").body) == {"closed": 1}, what="the call is over")


@KINDS
def test_a_client_that_gives_up_is_noticed_by_a_call_that_has_nothing_to_say(kind: str) -> None:
    with server(ServeOptions(threads=2), kind=kind) as running, Http2Client(running.address) as client:
        gate = running.gate("/silent")
        silent = client.ask(gate.target)
        client.until(lambda: client.answers[silent].body)
        client.reset(silent)
        client.ping()
        gate.open()
        eventually(lambda: json.loads(client.get("/left").body) == {"closed": 1}, what="the call is over")


def test_a_request_that_was_given_up_while_it_waited_is_not_begun() -> None:
    options = replace(FOUR, threads=1)
    with server(options) as running, Http2Client(running.address) as client:
        first, second = running.gate(), running.gate()
        held, given_up = client.ask(first.target), client.ask(second.target)
        unfinished = client.ask("/unfinished", method="POST", ends=False)
        eventually(lambda: first.entered() == 1, what="the call is inside the application")
        client.reset(given_up)
        client.reset(unfinished)
        client.ping()
        first.open()
        client.wait(held)
        assert client.get("/hello").status == 200
        assert second.entered() == 0
        wanted = {f"GET {second.target} HTTP/2.0 499 0", "POST /unfinished HTTP/2.0 499 0"}
        eventually(lambda: wanted <= set(running.access_lines()), what="their lines")


def test_connections_that_break_leave_nothing() -> None:
    with server(ServeOptions(threads=4)) as running:
        gate = running.gate()
        with Http2Client(running.address) as client:
            for _ in range(3):
                client.ask(gate.target)
            client.ask("/echo", method="POST", ends=False)
            eventually(lambda: gate.entered() == 3, what="the calls are inside the application")
        eventually(lambda: running.word(Seat.CONNECTIONS) == 0, what="the connection is closed")
        gate.open()
        eventually(lambda: running.word(Word.BUSY) == 0, what="nothing runs")
        with Http2Client(running.address) as client:
            assert client.get("/hello").status == 200


# ---- limits


@BOTH
def test_bodies_that_are_too_long_or_too_slow(kind: str) -> None:
    options = ServeOptions(limits=Limits(body=1000, body_timeout=1.0))
    with server(options, kind=kind) as running, Http2Client(running.address) as client:
        for length in (True, False):
            long = client.ask("/echo", method="POST", body=b"b" * 1001, length=length)
            assert client.wait(long).status == 413
        slow = client.ask("/echo", method="POST", body=b"b", ends=False)
        assert client.wait(slow).status == 408
        assert client.get("/hello").status == 200


@BOTH
def test_a_call_that_hangs_is_interrupted_and_its_siblings_are_not(kind: str) -> None:
    options = ServeOptions(threads=2, limits=Limits(timeout_for=(("/hangs", 0.5),)))
    with server(options, kind=kind) as running, Http2Client(running.address) as client:
        late = client.ask("/hangs")
        assert client.get("/hello").status == 200
        assert client.wait(late).status == 504
        assert client.get("/hello").status == 200


@BOTH
def test_who_is_idle_is_told_and_parted_with(kind: str) -> None:
    options = ServeOptions(limits=Limits(keep_alive=0.5))
    with server(options, kind=kind) as running:

        def idle(step: Steps) -> None:
            step()
            with Http2Client(running.address) as client:
                step()
                assert client.get("/hello").status == 200
                step()
                client.read_to_end()
                assert client.goaways == [(1 << 31) - 1, 1]

        in_time(options.limits.keep_alive, idle)


def test_who_says_nothing_at_all() -> None:
    options = ServeOptions(limits=Limits(header_timeout=1.0, keep_alive=60.0))
    with server(options) as running, socket.create_connection(running.address, 30) as client:
        client.sendall(PREFACE[:24])
        while client.recv(1000):
            pass


# ---- what stands in front of an application


def test_files(tmp_path: Path) -> None:
    large = bytes(range(256)) * 8192
    (tmp_path / "large").write_bytes(large)
    (tmp_path / "small.css").write_text("a {}")
    options = ServeOptions(static=(Mount("/static/", str(tmp_path)),))
    with server(options) as running, Http2Client(running.address) as client:
        streams = [client.ask(f"/static/{name}") for name in ("large", "small.css", "large", "absent")]
        answers = [client.wait(stream) for stream in streams]
        assert [answer.status for answer in answers] == [200, 200, 200, 404]
        assert answers[0].body == answers[2].body == large
        assert answers[1].body == b"a {}"
        part = client.get("/static/large", headers=[("range", "bytes=256-511")])
        assert (part.status, part.body) == (206, bytes(range(256)))
        head = client.get("/static/large", method="HEAD")
        assert (head.header("content-length"), head.body) == (str(len(large)), b"")


def test_a_body_whose_handler_answers_is_not_waited_for(tmp_path: Path) -> None:
    options = ServeOptions(static=(Mount("/static/", str(tmp_path)),))
    with server(options) as running, Http2Client(running.address) as client:
        posted = client.ask("/static/a", method="POST", body=b"b", ends=False)
        answer = client.wait(posted)
        assert (answer.status, answer.ended) == (405, True)
        client.until(lambda: answer.reset is not None)
        assert answer.reset == NO_ERROR
        assert client.get("/hello").status == 200


@KINDS
def test_bodies_as_they_come(kind: str) -> None:
    options = ServeOptions(threads=2, stream_bodies=("/count", "/first"))
    with server(options, kind=kind) as running, Http2Client(running.address) as client:
        assert client.get("/count", method="POST", body=b"b" * 2_000_000).body == b"2000000"
        stream = client.ask("/first", method="POST", body=b"0123456789abc", ends=False)
        answer = client.wait(stream)
        assert (answer.status, answer.body) == (200, b"0123456789")
        counted = client.ask("/count", method="POST", body=b"b", ends=False)
        client.reset(counted)
        assert client.get("/hello").status == 200
        eventually(lambda: running.word(Word.BUSY) == 0, what="nothing runs")


@BOTH
def test_other_applications_are_somewhere_else(kind: str) -> None:
    routes = ((Route("other.test", ""), 1), (Route("", ""), 0))
    with (
        server(routes=routes, tls=True, kind=kind) as running,
        Http2Client(running.address, tls=True) as client,
    ):
        assert client.get("/hello").status == 200
        assert client.get("/hello", host="other.test").status == 421


@BOTH
def test_what_belongs_to_several_applications_is_spoken_by_http1(kind: str) -> None:
    routes = ((Route("", "/other"), 1), (Route("", ""), 0))
    by = context()
    by.set_alpn_protocols(["h2", "http/1.1"])
    with server(routes=routes, tls=True, kind=kind) as running, TlsClient(running.address, by=by) as old:
        assert old.tls.selected_alpn_protocol() == "http/1.1"
        assert old.get("/hello").body == b"hello\n"


@pytest.mark.parametrize(("kind", "spoken"), [("wsgi", "http/1.1"), ("asgi", "h2")])
def test_where_passwords_are_asked_for_in_front_of_other_servers(
    kind: str, spoken: str, tmp_path: Path
) -> None:
    (tmp_path / "users").write_text(f"anna:{SHA256}\n")
    plain = ServeOptions(proxy=ProxyOptions((ProxyRoute("/other", "", 0, "/nowhere/socket", ""),)))
    below = replace(plain, gates=Gates(users=str(tmp_path / "users")))
    options = replace(plain, paths=(PathOptions("/other", below),))
    by = context()
    by.set_alpn_protocols(["h2", "http/1.1"])
    with server(options, tls=True, kind=kind) as running, TlsClient(running.address, by=by) as old:
        assert old.tls.selected_alpn_protocol() == spoken


# ---- the end


@BOTH
def test_a_drain_loses_nothing(kind: str) -> None:
    with server(FOUR, kind=kind) as running:
        with Http2Client(running.address) as client:
            gate = running.gate()
            held = client.ask(gate.target)
            eventually(lambda: gate.entered() == 1, what="the call is inside the application")
            running.drain()
            client.until(lambda: client.goaways)
            assert client.goaways == [(1 << 31) - 1]
            client.until(lambda: len(client.goaways) == 2)
            assert client.goaways[1] == held
            gate.open()
            assert client.wait(held).body == b"slept"
            client.read_to_end()
        assert running.wait() == 0


def test_idle_connections_do_not_keep_a_worker() -> None:
    with server(FOUR) as running:
        with Http2Client(running.address) as client:
            client.get("/hello")
            running.drain()
            client.read_to_end()
            assert client.goaways == [(1 << 31) - 1, 1]
        assert running.wait() == 0


def test_what_is_not_done_in_time_is_cut_off() -> None:
    with server(FOUR) as running, Http2Client(running.address) as client:
        gate = running.gate()
        client.ask(gate.target)
        client.ask("/echo", method="POST", body=b"b", ends=False)
        eventually(lambda: gate.entered() == 1, what="the call is inside the application")
        running.drain(grace=0.5)
        client.read_to_end()
        running.wait()
        assert running.log().count("cut off") == 2


def test_a_client_with_many_requests_does_not_have_them_all_first() -> None:
    with (
        server(replace(FOUR, threads=1)) as running,
        Http2Client(running.address) as many,
        running.connect() as one,
    ):
        assert one.get("/hello").status == 200  # it is let in: later there is no room
        gate = running.gate()
        many.ask(gate.target)
        eventually(lambda: gate.entered() == 1, what="the call is inside the application")
        streams = [many.ask("/pid") for _ in range(90)]
        many.ping()
        one.send(b"GET /teapot HTTP/1.1\r\nHost: a\r\n\r\n")
        eventually(lambda: running.word(Word.WAITING) == AT_ONCE + 1, what="the turns are known")
        gate.open()
        assert one.answer().body == b"pot"
        assert all(many.wait(stream).ended for stream in streams)
        eventually(lambda: len(running.access_lines()) == 93, what="all are logged")
        order = [line.split()[1] for line in running.access_lines()]
        assert order.index("/teapot") == 2, "behind the call that lasted"


# ---- those who break it


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"\0\0\1\0\0\0\0\0\0x", 1),  # DATA of no stream: PROTOCOL_ERROR
        (b"\0\0\5\6\0\0\0\0\0hello", 6),  # a PING of 5 bytes: FRAME_SIZE_ERROR
        (b"\0\0\1\1\5\0\0\0\1\xff", 9),  # a block that cannot be read: COMPRESSION_ERROR
        (b"\0\0\4\x08\0\0\0\0\0\x7f\xff\xff\xff" * 2, 3),  # too large a window: FLOW_CONTROL_ERROR
    ],
)
def test_errors_end_the_connection_and_say_so(shared: BackendServer, frames: bytes, code: int) -> None:
    with Http2Client(shared.address, tls=shared.is_encrypted) as client:
        client.ping()
        client.socket.sendall(frames)
        client.read_to_end()
        assert client.codes == [code]


def test_who_gives_up_requests_in_a_hurry_is_sent_away(shared: BackendServer) -> None:
    with (
        Http2Client(shared.address, tls=shared.is_encrypted) as other,
        Http2Client(shared.address, tls=shared.is_encrypted) as client,
    ):
        for _ in range(Http2Limits().resets * 2):  # some are earned again meanwhile
            client.reset(client.ask("/hello", flushes=False), flushes=False)
        client.flush()
        client.read_to_end()
        assert client.codes == [11]  # ENHANCE_YOUR_CALM
        assert other.get("/hello").status == 200
    eventually(lambda: shared.word(Word.BUSY) == 0, what="nothing runs")


@BOTH
def test_limits_of_options(kind: str) -> None:
    limits = Http2Limits(streams=2, resets=3, stream_window=2 << 20, period=3600.0)
    options = ServeOptions(limits=Limits(http2=limits))
    with server(options, kind=kind) as running, Http2Client(running.address) as client:
        client.ping()
        told = client.spoken.remote_settings
        assert (told.max_concurrent_streams, told.initial_window_size) == (2, 2 << 20)
        assert client.spoken.outbound_flow_control_window == 2 << 20
        for _ in range(limits.resets):
            client.reset(client.ask("/hello", flushes=False))
            client.ping()  # it takes up no place any more
        assert client.get("/hello").status == 200
        client.reset(client.ask("/hello", flushes=False))
        client.read_to_end()
        assert client.codes == [11]  # ENHANCE_YOUR_CALM


def test_too_many_fields(client: Http2Client) -> None:
    answer = client.get("/hello", headers=[(f"x-{number}", "a") for number in range(120)])
    assert (answer.status, answer.ended) == (431, True)
    assert client.get("/hello").status == 200
