# HTTP/2 as applications and browsers see it: requests in, answers out, hyperium's h2 on the other side.

from __future__ import annotations

import h2.events
import hpack
import pytest

from bigtop.http.clients.forwarded import Forwarding, Trust
from bigtop.http.engine import Phase
from bigtop.http.h2 import response_heads
from bigtop.http.h2.error_codes import NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM
from bigtop.http.h2.events import StreamRefused, StreamRequest
from bigtop.http.h2.frames import CONTINUATION, DATA, GOAWAY, HEADERS, PING, RST_STREAM
from bigtop.http.h2.limits import Http2Limits
from bigtop.http.interfaces import wsgi
from bigtop.http.limits import Limits
from bigtop.http.messages import Fields, Request
from bigtop.http.policy import Policy
from bigtop.http.response import head_of
from tests.http.h2.corpus import data, number, rst
from tests.http.h2.peers import (
    GET,
    OPENING,
    POST,
    SECOND,
    STAMP,
    Client,
    answer,
    connection,
    frame,
    frames_of,
    request,
    told,
)


def test_a_request_is_the_one_that_http_1_has() -> None:
    client = Client()
    client.h2.send_headers(
        1, [*GET, (b"cookie", b"a=1"), (b"x-y", b"z"), (b"cookie", b"b=2")], end_stream=True
    )
    (event,) = client.send()
    assert isinstance(event, StreamRequest)
    request = event.request
    assert (request.method, request.target, request.version, request.ended) == ("GET", b"/", "2", True)
    assert request.headers == [(b"host", b"a.example"), (b"cookie", b"a=1; b=2"), (b"x-y", b"z")]
    assert request.content_length == 0


def test_an_answer_arrives() -> None:
    client = Client()
    client.h2.send_headers(1, GET, end_stream=True)
    (event,) = client.send()
    assert isinstance(event, StreamRequest)
    assert client.server.phase is Phase.BODY
    answer(client.server, event, b"hello")
    events = client.receive()
    (head,) = [event for event in events if isinstance(event, h2.events.ResponseReceived)]
    assert dict(head.headers or [])[b":status"] == b"200"
    assert dict(head.headers or [])[b"content-length"] == b"5"
    assert [event.data for event in events if isinstance(event, h2.events.DataReceived)] == [b"hello"]
    assert isinstance(events[-1], h2.events.StreamEnded)
    assert client.server.phase is Phase.IDLE


# ---- bodies, expectations, refusals


def test_a_body_arrives_with_and_without_its_length() -> None:
    server = connection()
    first = server.feed(
        request(1, POST, ends=False, more=[(b"content-length", b"3")]) + data(1, b"abc", 1), SECOND
    )
    second = server.feed(request(3, POST, ends=False) + data(3, b"abc", 1), SECOND)
    assert isinstance(first[0], StreamRequest)
    assert isinstance(second[0], StreamRequest)
    assert (first[0].request.content_length, second[0].request.content_length) == (3, None)
    assert (
        [event[0] for event in told(first)]
        == [event[0] for event in told(second)]
        == ["request", "data", "ended"]
    )


def test_a_client_that_waits_to_be_asked_for_the_body() -> None:
    server = connection()
    (event,) = server.feed(request(1, POST, ends=False, more=[(b"expect", b"100-Continue")]), SECOND)
    assert isinstance(event, StreamRequest)
    assert event.request.expects_continue
    (event,) = server.feed(request(3, more=[(b"expect", b"100-continue")]), SECOND)
    assert isinstance(event, StreamRequest)
    assert not event.request.expects_continue  # there is no body


def test_a_policy_is_asked_as_for_http_1() -> None:
    server = connection(policy=Policy(trusted=False, header_map="refuse", methods=["GET"]))
    events = server.feed(
        request(1) + request(3, POST) + request(5, more=[(b"a_b", b"c")]) + request(7), SECOND
    )
    assert [(event[0], *event[2:3]) for event in told(events)] == [
        ("request", "GET"),
        ("refused", 405),
        ("refused", 400),
        ("request", "GET"),
    ]
    refusal = events[1]
    assert isinstance(refusal, StreamRefused)
    assert refusal.error.fields == (("Allow", "GET"),)
    assert refusal.request is not None


def test_a_refused_request_is_answered() -> None:
    client = Client(connection(Limits(body=10), opened=False))
    client.h2.send_headers(1, [*POST, (b"content-length", b"11")])
    (event,) = client.send()
    assert isinstance(event, StreamRefused)
    block, body = response_heads.error_page(event.error, STAMP, "POST")
    client.server.head(1, block)
    client.server.write(1, body, ends=True)
    client.server.release(1)
    events = client.receive()
    (head,) = [found for found in events if isinstance(found, h2.events.ResponseReceived)]
    assert dict(head.headers or [])[b":status"] == b"413"
    assert b"longer than 10 bytes" in b"".join(
        e.data for e in events if isinstance(e, h2.events.DataReceived)
    )
    assert isinstance(events[-1], h2.events.StreamReset)
    assert events[-1].error_code == NO_ERROR


def test_a_refusal_behind_the_head_of_the_answer_is_a_reset() -> None:
    server = connection(Limits(body=10))
    server.feed(request(1, POST, ends=False), SECOND)
    server.head(1, response_heads.CONTINUE)
    assert [event[0] for event in told(server.feed(data(1, bytes(11)), SECOND))] == ["reset"]


@pytest.mark.parametrize(
    ("status", "headers", "method", "length", "wanted"),
    [
        ("200 OK", [], "GET", 5, (5, False)),
        ("200 OK", [("Content-Length", "7")], "GET", 5, (7, False)),
        ("200 OK", [], "GET", None, (None, False)),
        ("200 OK", [("Content-Length", "7")], "HEAD", None, (0, True)),
        ("204 No Content", [("Content-Length", "7")], "GET", None, (0, True)),
        ("304 Not Modified", [("Content-Length", "7")], "GET", None, (0, True)),
    ],
)
def test_heads_are_framed_as_in_http_1(
    status: str,
    headers: list[tuple[str, str]],
    method: str,
    length: int | None,
    wanted: tuple[int | None, bool],
) -> None:
    asked = Request(method, b"/", Fields([], {}))
    head = head_of(status, [*headers, ("X-Some", " thing\t"), ("Connection", "close"), ("Set-Cookie", "a=b")])
    for _again in range(2):
        block, framing = response_heads.frame(head, asked, STAMP, length)
        assert (framing.left, framing.silent) == wanted
        fields = hpack.Decoder().decode(block, raw=True)
        names = [name for name, _ in fields]
        one = dict(fields)
        assert names[0] == b":status"
        assert (one[b":status"], one[b"x-some"], one[b"set-cookie"]) == (
            status[:3].encode(),
            b"thing",
            b"a=b",
        )
        assert (one[b"server"], one[b"date"]) == (b"bigtop", STAMP.date[6:-2])
        _, other = head.frame(asked, STAMP, length)
        announced = one.get(b"content-length")
        assert announced == (None if status[0:3] == "204" or (length is None and not headers) else announced)
        assert (other.silent, other.left) == (framing.silent, framing.left)
        assert b"connection" not in names


def test_fields_of_the_server_are_not_there_twice() -> None:
    head = head_of("200 OK", [("Server", "mine"), ("Date", "today")])
    block, _ = response_heads.frame(head, Request(), STAMP, 0)
    fields = hpack.Decoder().decode(block, raw=True)
    assert [value for name, value in fields if name in (b"server", b"date")] == [b"mine", b"today"]


# ---- WebSockets


WEBSOCKET = [
    (b":method", b"CONNECT"),
    (b":protocol", b"websocket"),
    (b":scheme", b"https"),
    (b":path", b"/chat"),
    (b":authority", b"a.example"),
    (b"sec-websocket-version", b"13"),
]


def test_a_websocket() -> None:
    server = connection(websockets=True)
    events = server.feed(request(1, WEBSOCKET, ends=False) + data(1, b"frame"), SECOND)
    assert isinstance(events[0], StreamRequest)
    asked = events[0].request
    assert (asked.method, asked.upgrade, asked.target, asked.ended) == (
        "CONNECT",
        b"websocket",
        b"/chat",
        False,
    )
    assert told(events[1:]) == [("data", 1, b"frame")]
    server.head(1, response_heads.field(b":status", b"200"))
    server.write(1, b"answer")
    assert [kind for kind, *_ in frames_of(server.output(1 << 16))] == [HEADERS, DATA]
    server.write(1, b"", ends=True)
    assert [kind for kind, *_ in frames_of(server.output(1 << 16))] == [DATA]  # and no reset


def test_websockets_are_offered_where_they_are_wanted() -> None:
    for wanted in (True, False):
        server = connection(websockets=wanted, opened=False)
        (_, _, _, payload), *_rest = frames_of(server.output(1 << 16))
        settings = {payload[at + 1]: payload[at + 2 : at + 6] for at in range(0, len(payload), 6)}
        assert settings.get(8) == (number(1) if wanted else None)
        assert settings[3] == number(100)


@pytest.mark.parametrize(
    ("change", "ends", "wanted"),
    [
        ((b":protocol", b"webtransport"), False, ("refused", 1, 501, True)),
        ((b":path", b"*"), False, ("refused", 1, 400, False)),
        ((b":scheme", b""), False, ("refused", 1, 400, False)),
        ((b":protocol", b"websocket"), True, ("refused", 1, 400, False)),
    ],
)
def test_what_is_no_websocket(change: tuple[bytes, bytes], ends: bool, wanted: tuple[object, ...]) -> None:
    pairs = [change if name == change[0] else (name, value) for name, value in WEBSOCKET]
    server = connection(websockets=True)
    assert told(server.feed(request(1, pairs, ends=ends), SECOND)) == [wanted]


def test_a_websocket_is_a_get_to_a_policy_and_its_body_has_no_limit() -> None:
    server = connection(Limits(body=5), policy=Policy(trusted=False, methods=["GET"]), websockets=True)
    events = server.feed(request(1, WEBSOCKET, ends=False) + data(1, b"longer than five"), SECOND)
    assert [event[0] for event in told(events)] == ["request", "data"]
    assert server.expire(1000 * SECOND) == []


# ---- the end of a connection


def test_a_connection_drains_in_two_steps() -> None:
    server = connection()
    server.feed(request(1), SECOND)
    server.drain(SECOND)
    server.drain(SECOND)
    first = list(frames_of(server.output(1 << 16)))
    assert [kind for kind, *_ in first] == [PING, GOAWAY]
    assert first[1][3] == number((1 << 31) - 1) + number(NO_ERROR)
    assert [event[0] for event in told(server.feed(request(3), SECOND))] == ["request"]  # was on its way
    server.feed(frame(PING, 1, 0, first[0][3]), SECOND)
    (last,) = frames_of(server.output(1 << 16))
    assert (last[0], last[3]) == (GOAWAY, number(3) + number(NO_ERROR))
    assert told(server.feed(request(5) + data(5, b""), SECOND)) == []
    assert server.output(1 << 16) == rst(5, REFUSED_STREAM)
    for n in (1, 3):
        assert not server.is_over
        server.head(n, response_heads.field(b":status", b"200"), ends=True)
        server.release(n)
        server.output(1 << 16)
    assert server.is_over
    assert (server.phase, server.error) == (Phase.CLOSED, None)


def test_a_client_that_does_not_answer_is_told_after_a_second() -> None:
    server = connection()
    server.drain(SECOND)
    server.output(1 << 16)
    server.expire(SECOND * 3 // 2)
    assert not server.is_over
    server.expire(SECOND * 2)
    assert server.is_over
    assert [kind for kind, *_ in frames_of(server.output(1 << 16))] == [GOAWAY]


def test_draining_waits_for_websockets() -> None:
    server = connection(websockets=True)
    server.feed(request(1, WEBSOCKET, ends=False), SECOND)
    server.drain(SECOND)
    server.expire(9 * SECOND)
    assert server.output(1 << 16) == b""
    assert [event[0] for event in told(server.feed(request(3), SECOND))] == ["request"]
    server.reset(1, 8)
    server.release(1)
    assert [kind for kind, *_ in frames_of(server.output(1 << 16))] == [RST_STREAM, PING, GOAWAY]


def test_a_connection_that_was_used_often_enough_drains() -> None:
    server = connection(h2=Http2Limits(requests=3))
    for n in (1, 3, 5):
        assert not server.is_draining
        server.feed(request(n), SECOND)
    assert server.is_draining


def test_a_connection_that_is_old_drains() -> None:
    server = connection(h2=Http2Limits(age=100))
    server.expire(89 * SECOND)
    assert not server.is_draining
    server.expire(102 * SECOND)
    assert server.is_draining
    for_ever = connection(h2=Http2Limits(age=0, requests=0))
    for_ever.expire(1 << 60)
    assert not for_ever.is_draining


def test_a_client_that_leaves() -> None:
    server = connection()
    server.feed(request(1) + frame(GOAWAY, 0, 0, number(0) * 2), SECOND)
    assert not server.is_over
    server.head(1, response_heads.field(b":status", b"200"), ends=True)
    server.release(1)
    server.output(1 << 16)
    assert server.is_over


def test_an_error_ends_all_streams_and_says_why() -> None:
    server = connection()
    server.feed(request(1) + request(3), SECOND)
    server.head(1, response_heads.field(b":status", b"200"))
    server.write(1, b"half")
    events = server.feed(request(5) + request(2) + request(7), SECOND)
    assert [event[:2] for event in told(events)] == [("request", 5), ("reset", 1), ("reset", 3), ("reset", 5)]
    assert server.error is not None
    assert server.is_over
    (last,) = frames_of(server.output(1 << 16))
    assert (last[0], last[3][:8]) == (GOAWAY, number(5) + number(PROTOCOL_ERROR))
    assert last[3][8:].decode() == str(server.error) == "a client cannot open stream 2"
    assert server.feed(request(9), SECOND) == server.expire(SECOND) == []
    for n in (1, 3, 5):
        server.release(n)
    server.drain(SECOND)
    assert not server.has_output


def test_phases_tell_which_clock_runs() -> None:
    server = connection(opened=False)
    head = request(1)
    pieces = [
        (b"", Phase.HEAD),
        (OPENING[:30], Phase.HEAD),  # of the SETTINGS that have to come
        (OPENING[30:], Phase.IDLE),
        (head[:5], Phase.HEAD),
        (head[5:], Phase.BODY),
        (frame(HEADERS, 1, 3, b""), Phase.HEAD),  # CONTINUATION has to come
        (frame(CONTINUATION, 4, 3, request(3)[9:]), Phase.BODY),
        (rst(1) + rst(3), Phase.BODY),
    ]
    for piece, phase in pieces:
        server.feed(piece, SECOND)
        assert server.phase is phase
    server.release(1)
    server.release(3)
    assert server.phase is Phase.IDLE
    server.feed(request(2), SECOND)
    assert server.phase is Phase.CLOSED


def test_limits_are_checked() -> None:
    with pytest.raises(ValueError, match="stream_window is 1000: wanted 65535 to 2147483647"):
        Http2Limits(stream_window=1000)
    with pytest.raises(ValueError, match="window is 0"):
        Http2Limits(window=0)


def test_an_environ_says_http_2_and_how_long_the_body_is() -> None:
    server = connection()
    (event,) = server.feed(request(1, POST, ends=False, more=[(b"cookie", b"a=1")] * 2), SECOND)
    assert isinstance(event, StreamRequest)
    common = wsgi.Environs(wsgi.worker_environ(None, multithread=False, multiprocess=True))
    forwarding = Forwarding(Trust([]), [])
    peer = wsgi.Peer(common, ("127.0.0.1", 443), ("192.0.2.1", 5000), forwarding, "https")
    env = wsgi.environ(event.request, peer, None, 7)
    assert (env["SERVER_PROTOCOL"], env["CONTENT_LENGTH"]) == ("HTTP/2.0", "7")
    assert (env["HTTP_HOST"], env["HTTP_COOKIE"], env["wsgi.url_scheme"]) == (
        "a.example",
        "a=1; a=1",
        "https",
    )
